"""Why a job failed, in words for users; kept in the job's ``meta``."""

from typing import Any

from pydantic import BaseModel, Field, ValidationError
from rq.timeouts import JobTimeoutException

from shared import errors

_META_FIELD = "error"


class JobError(BaseModel):
    """What a failed job says of itself.

    Attributes
    ----------
    type : str
        Name of one of our error classes (:mod:`shared.errors`), ``WorkerDied``, ``TimedOut`` or
        ``InternalError``.
    message : str
        For users: an error of ours in its own words, any other without a trace of the inside.
    """

    type: str = Field(pattern=r"^[A-Za-z0-9]{1,100}$")
    message: str

    @classmethod
    def of(cls, error: BaseException | None) -> "JobError":
        """Describe what a job raised."""
        if isinstance(error, errors.MovierecError) and type(error).__module__ == errors.__name__:
            message = str(error).encode(errors="replace").decode()  # no halves of characters
            return cls(type=type(error).__name__, message=message)
        return TIMED_OUT if isinstance(error, JobTimeoutException) else INTERNAL_ERROR

    @classmethod
    def from_meta(cls, meta: object) -> "JobError | None":
        """Read what :meth:`put_into` wrote; None if it is not there, or none of ours."""
        try:
            return cls.model_validate(meta[_META_FIELD]) if isinstance(meta, dict) else None
        except (KeyError, ValidationError):
            return None

    def put_into(self, meta: dict[str, Any]) -> None:
        """Write this into the ``meta`` of a job."""
        meta[_META_FIELD] = self.model_dump()


WORKER_DIED = JobError(
    type="WorkerDied", message="The worker that ran it died, and so did those that tried again."
)
TIMED_OUT = JobError(type="TimedOut", message="It took longer than it may.")
INTERNAL_ERROR = JobError(
    type="InternalError", message="It failed for a reason of our own; the worker's log tells it."
)
