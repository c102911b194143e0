"""Errors as clients see them: one tree, one form (RFC 9457, ``application/problem+json``).

::

    Problem
    ├── PreflightRefused 400      a browser may not ask that from there (CORS)
    ├── InvalidRequest 422        a parameter or body that cannot be read
    ├── BadRequest 400            what is not HTTP; the connection is closed, as after the next four
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
from http import HTTPMethod, HTTPStatus
from typing import Any, ClassVar

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from shared.queue.damage import refusal

log = structlog.get_logger(__name__)

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
        """Return this kind's place in the OpenAPI document."""
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
        """Render."""
        body = {
            "type": self.type_uri(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


class PreflightRefused(Problem):
    """A browser may not ask that from where it is."""

    status, slug, title = 400, "preflight-refused", "Not allowed from elsewhere"


class InvalidRequest(Problem):
    """A parameter or body that cannot be read."""

    status, slug, title = 422, "invalid-request", "Invalid request"


class BadRequest(Problem):
    """What is not HTTP."""

    status, slug, title = 400, "bad-request", "Bad request"


class RequestTimeout(Problem):
    """A request that was not sent in time."""

    status, slug, title = 408, "request-timeout", "Request not sent in time"


class BodyTooLarge(Problem):
    """A body above the limit."""

    status, slug, title = 413, "body-too-large", "Body too large"


class UriTooLong(Problem):
    """A request line above the limit."""

    status, slug, title = 414, "uri-too-long", "Address too long"


class HeadersTooLarge(Problem):
    """Headers above the limit, in size or number."""

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
    """A training waits or runs already."""

    status, slug, title = 409, "training-runs", "A training runs already"


class NoWorkers(Problem):
    """Nobody is there to compute."""

    status, slug, title, retry_after = 503, "no-workers", "No worker is alive", 2


class QueueFull(Problem):
    """Too much work waits already."""

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
    """There are as many connections as there may be, and none of them is idle."""

    status, slug, title, retry_after = 503, "too-many-connections", "Too many connections", 2


class InternalError(Problem):
    """A mistake of ours."""

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


def install(app: FastAPI) -> None:
    """Let every error of an application leave it as a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return InvalidRequest("The body is not JSON.").response()
        kind = request.headers.get("Content-Type", "")
        if request.method == "POST" and "json" not in kind:
            detail = f"Send JSON with the header 'Content-Type: application/json' (given: {kind[:80]!r})."
            return InvalidRequest(detail).response()
        return InvalidRequest(_describe(error.errors())).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_allowed_methods(request))}
            if request.method == HTTPMethod.OPTIONS:
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
            detail = f"{request.method} is not possible here; use {headers['Allow']}."
            return MethodNotAllowed(detail, headers).response()
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound(
                f"There is nothing at {request.url.path}; see {request.scope['root_path']}/docs."
            ).response()
        return InvalidRequest(str(error.detail)).response()

    for kind in (RedisError, SQLAlchemyError, Exception):
        app.add_exception_handler(kind, _unexpected)


def _allowed_methods(request: Request) -> list[str]:
    """Return what can be done with a request's path; a router only names what one of its routes can do."""
    allowed = []
    for method in HTTPMethod:
        scope: Scope = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}
        scope["method"] = method.value
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            allowed.append(method.value)
    # HEAD is GET without the body, see RequestContext; OPTIONS is answered with these methods.
    return sorted({*allowed, "OPTIONS", *(["HEAD"] if "GET" in allowed else [])})


async def _unexpected(request: Request, error: Exception) -> Response:
    return problem_of(error).response()


def problem_of(error: Exception) -> Problem:
    """Return what a client is told about an error, and log what it is not told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RedisError):
        log.warning("redis failed", reason=str(error))
        return QueueUnreachable.because(error)
    if isinstance(error, SQLAlchemyError):
        log.warning("database failed", reason=str(error))
        return DatabaseUnavailable("The database does not answer; try again soon.")
    log.error("request failed", exc_info=error)
    return InternalError("That was our mistake; the log tells more under this request's id.")


def _describe(errors: Any) -> str:
    """Put pydantic's errors into one sentence each, with the value that was sent."""
    sentences = []
    for error in errors:
        place = ".".join(str(part) for part in error["loc"] if part not in {"body", "path", "query"})
        where = f"{place}: " if place else ""
        value = error.get("input")
        given = f" (given: {str(value)[:80]!r})" if isinstance(value, str | int | float) else ""
        sentences.append(f"{where}{error['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(sentences) + "."
