"""Tells how a job is doing."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError
from rq.job import JobStatus

from gateway.context import GatewayContext, context_of
from gateway.http.problems import InvalidRequest, QueueUnreachable, UnknownJob, documented
from gateway.http.responses import json_answer
from shared.contract.jobs import is_job_id
from shared.queue.damage import is_damage
from shared.queue.job_errors import INTERNAL_ERROR, JobError
from shared.queue.jobs import MovierecJob, fetch_job

router = APIRouter(prefix="/jobs", tags=["jobs"])

_STATES = {
    JobStatus.CREATED: "queued",
    JobStatus.QUEUED: "queued",
    JobStatus.SCHEDULED: "queued",
    JobStatus.DEFERRED: "queued",
    JobStatus.STARTED: "running",
    JobStatus.FINISHED: "finished",
}


class JobProgress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(allow_inf_nan=False)

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
    context: Annotated[GatewayContext, Depends(context_of)],
) -> Response:
    """State, progress, and in the end result or error. Finished trainings are kept for a week."""
    found = fetch_job(job_id, context.jobs) if is_job_id(job_id) else None
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
        "progress": _progress(found.meta),
        "result": _result(found) if state == "finished" else None,
        "error": _error(found.meta) if state == "failed" else None,
    }


def _progress(meta: object) -> dict[str, Any] | None:
    """Return how far a job is, None if what stands there makes no sense."""
    try:
        return JobProgress.model_validate(meta["progress"]).model_dump() if isinstance(meta, dict) else None
    except (KeyError, ValidationError):
        return None


def _result(found: MovierecJob) -> dict[str, Any] | None:
    """Return what a job returned, None if it cannot be read or is nothing that a job of ours returns."""
    try:
        last = found.latest_result()
    except RedisError as error:
        if is_damage(error):
            return None
        raise
    except Exception:  # fields that RQ cannot read
        return None
    value = last.return_value if last else None
    return value if isinstance(value, dict) else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


def _error(meta: object) -> str:
    """Return what went wrong, as the worker has written it for users."""
    return (JobError.from_meta(meta) or INTERNAL_ERROR).message
