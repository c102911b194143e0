"""The errors that clients see: one tree, one form (RFC 9457, ``application/problem+json``).

::

    Problem
    ├── PreflightRefused 400      CORS does not allow it
    ├── InvalidRequest 422        a parameter or body is invalid
    ├── BadRequest 400            not HTTP; the connection is closed, as after the next four
    ├── RequestTimeout 408, BodyTooLarge 413, UriTooLong 414, HeadersTooLarge 431
    ├── Unauthorized 401          a token is needed, or it is wrong
    ├── WritingDisabled 403       the service was started without a token
    ├── UnknownUser, UnknownMovie, UnknownJob, NoModel, NotFound 404
    ├── MethodNotAllowed 405
    ├── TrainingRuns 409          with the running job's address
    ├── NoWorkers, QueueFull, QueueUnreachable, DatabaseUnavailable, ComputationFailed,
    │   TooManyConnections 503, each with Retry-After
    └── InternalError 500
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from shared.queue.damage import refusal

MEDIA_TYPE = "application/problem+json"


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:movierec:problem:unknown-user"], description="Stable name of the kind.")
    title: str = Field(examples=["Unknown user"], description="The kind in words.")
    status: int = Field(examples=[404], description="The HTTP status.")
    detail: str = Field(
        examples=["User 700 has rated nothing here."], description="What was wrong this time."
    )


class Problem(Exception):
    """An error that a client is told about.

    Parameters
    ----------
    detail : str
        What was wrong, with the value, and what to do.
    headers : mapping of str to str
        Headers of the response.
    **extra
        More members of the body.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra
        if self.retry_after is not None:
            self.headers.setdefault("Retry-After", str(self.retry_after))

    @classmethod
    def type_uri(cls) -> str:
        """Return the stable name of this kind of error."""
        return f"urn:movierec:problem:{cls.slug}"

    @classmethod
    def documented(cls) -> dict[str, Any]:
        """Return what the OpenAPI document says of this kind of error."""
        example = {"type": cls.type_uri(), "title": cls.title, "status": cls.status, "detail": "..."}
        return {
            "description": cls.title,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemBody"},
                    "examples": {cls.slug: {"value": example}},
                }
            },
        }

    def response(self) -> Response:
        """Render it as a response."""
        body = {
            "type": self.type_uri(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


class PreflightRefused(Problem):
    """CORS does not allow a browser to ask that."""

    status, slug, title = 400, "preflight-refused", "Not allowed from elsewhere"


class InvalidRequest(Problem):
    """A parameter or body is invalid."""

    status, slug, title = 422, "invalid-request", "Invalid request"


class BadRequest(Problem):
    """The request is not HTTP."""

    status, slug, title = 400, "bad-request", "Bad request"


class RequestTimeout(Problem):
    """A request was not sent in time."""

    status, slug, title = 408, "request-timeout", "Request not sent in time"


class BodyTooLarge(Problem):
    """A body is above the limit."""

    status, slug, title = 413, "body-too-large", "Body too large"


class UriTooLong(Problem):
    """A request line is above the limit."""

    status, slug, title = 414, "uri-too-long", "Address too long"


class HeadersTooLarge(Problem):
    """Headers are above the limit, in size or number."""

    status, slug, title = 431, "headers-too-large", "Headers too large"


class Unauthorized(Problem):
    """A token is needed, or it is wrong."""

    status, slug, title = 401, "unauthorized", "Unauthorized"


class WritingDisabled(Problem):
    """The service was started without a token."""

    status, slug, title = 403, "writing-disabled", "Writing is disabled"


class UnknownUser(Problem):
    """No such user."""

    status, slug, title = 404, "unknown-user", "Unknown user"

    def __init__(self, user_id: int) -> None:
        super().__init__(f"User {user_id} has rated nothing here.")


class UnknownMovie(Problem):
    """No such movie."""

    status, slug, title = 404, "unknown-movie", "Unknown movie"

    def __init__(self, movie_id: int) -> None:
        super().__init__(f"There is no movie {movie_id}.")


class UnknownJob(Problem):
    """No such job, or it is no longer kept."""

    status, slug, title = 404, "unknown-job", "Unknown job"


class NoModel(Problem):
    """No model was trained yet."""

    status, slug, title = 404, "no-model", "No model yet"


class NotFound(Problem):
    """No such path."""

    status, slug, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"


class TrainingRuns(Problem):
    """A training is queued or running already."""

    status, slug, title = 409, "training-runs", "A training runs already"


class NoWorkers(Problem):
    """No worker is alive."""

    status, slug, title, retry_after = 503, "no-workers", "No worker is alive", 2


class QueueFull(Problem):
    """Too much work is waiting already."""

    status, slug, title, retry_after = 503, "queue-full", "Too much work waits", 2


class QueueUnreachable(Problem):
    """Redis does not answer, or refuses what is asked of it."""

    status, slug, title, retry_after = 503, "queue-unreachable", "The queue does not answer", 2

    @classmethod
    def because(cls, error: Exception) -> "QueueUnreachable":
        """Return what a client is told about an error of Redis."""
        return cls(f"{refusal(error) or 'Redis does not answer'}; try again soon.")


class DatabaseUnavailable(Problem):
    """The database does not answer."""

    status, slug, title, retry_after = 503, "database-unavailable", "The database does not answer", 2


class ComputationFailed(Problem):
    """A worker tried and failed."""

    status, slug, title, retry_after = 503, "computation-failed", "The computation failed", 5


class TooManyConnections(Problem):
    """The most connections that are allowed are open, and none of them is idle."""

    status, slug, title, retry_after = 503, "too-many-connections", "Too many connections", 2


class InternalError(Problem):
    """The gateway has a fault."""

    status, slug, title = 500, "internal-error", "Internal error"


def documented(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of some errors, those of one status together."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        described = problem.documented()
        if problem.status in responses:
            responses[problem.status]["description"] += f"; {described['description'].lower()}"
            examples = responses[problem.status]["content"][MEDIA_TYPE]["examples"]
            examples.update(described["content"][MEDIA_TYPE]["examples"])
        else:
            responses[problem.status] = described
    return responses
