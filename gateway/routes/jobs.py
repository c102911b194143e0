"""How a job is doing."""

import re
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field
from rq.job import JobStatus

from gateway.problems import InvalidRequest, QueueUnreachable, UnknownJob, documented
from gateway.responses import json_answer
from gateway.state import State, state_of
from shared.broker import MovierecJob, fetch_job

router = APIRouter(prefix="/jobs", tags=["jobs"])

_STATES = {
    JobStatus.CREATED: "queued",
    JobStatus.QUEUED: "queued",
    JobStatus.SCHEDULED: "queued",
    JobStatus.DEFERRED: "queued",
    JobStatus.STARTED: "running",
    JobStatus.FINISHED: "finished",
}
_OUR_ERROR = re.compile(r"^shared\.errors\.\w+: ")


class JobProgress(BaseModel):
    """How far a job is."""

    phase: str
    done: int
    total: int | None
    unit: str
    seconds_left: float | None
    metrics: dict[str, float]


class JobView(BaseModel):
    """A job."""

    id: str
    description: str
    state: str = Field(description="`queued`, `running`, `finished` or `failed`.")
    enqueued_at: str | None
    started_at: str | None
    ended_at: str | None
    progress: JobProgress | None
    result: dict[str, Any] | None
    error: str | None


@router.get(
    "/{job_id}",
    summary="How a job is doing",
    response_model=JobView,
    responses=documented(UnknownJob, InvalidRequest, QueueUnreachable),
)
def job(
    job_id: Annotated[str, Path(max_length=64, examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"])],
    request: Request,
    state: Annotated[State, Depends(state_of)],
) -> Response:
    """State, progress, and in the end result or error. Finished trainings are kept for a week."""
    found = fetch_job(job_id, state.jobs) if re.fullmatch(r"[0-9a-f]{32}", job_id) else None
    if found is None:
        raise UnknownJob(f"There is no job {job_id[:64]!r}, or it is no longer kept.")
    return json_answer(request, orjson.dumps(_describe(found)), version=None)


def _describe(found: MovierecJob) -> dict[str, Any]:
    state = _STATES.get(found.get_status(refresh=False), "failed")
    return {
        "id": found.id,
        "description": found.description,
        "state": state,
        "enqueued_at": _iso(found.enqueued_at),
        "started_at": _iso(found.started_at),
        "ended_at": _iso(found.ended_at) if state in {"finished", "failed"} else None,
        "progress": found.meta.get("progress"),
        "result": found.return_value() if state == "finished" else None,
        "error": _error(found) if state == "failed" else None,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


def _error(found: MovierecJob) -> str:
    """Return what went wrong: our own errors in their words, all others without a trace of the inside."""
    result = found.latest_result()
    text = (result.exc_string if result else None) or ""
    last_lines = text.strip().splitlines()
    for number, line in enumerate(last_lines):
        if _OUR_ERROR.match(line):
            return _OUR_ERROR.sub("", "\n".join(last_lines[number:]))
    if "terminated unexpectedly" in text or "Abandoned" in text or "stuck" in text:
        return "The worker that ran it died, and so did those that tried again."
    if "JobTimeoutException" in text:
        return "It took longer than it may."
    return "It failed for a reason of our own; the worker's log tells it."
