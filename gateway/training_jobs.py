"""Accepts trainings, one at a time."""

import uuid
from collections.abc import Mapping
from typing import Any

import redis
from redis.exceptions import WatchError
from rq.job import JobStatus

from gateway.http import urls
from gateway.http.problems import TrainingRuns
from shared.contract import keys
from shared.contract.jobs import QueueName, is_job_id
from shared.queue.damage import is_damage
from shared.queue.jobs import enqueue_training, fetch_job

_UNFINISHED = {
    JobStatus.CREATED,
    JobStatus.QUEUED,
    JobStatus.STARTED,
    JobStatus.SCHEDULED,
    JobStatus.DEFERRED,
}


def start_training(
    connection: redis.Redis,
    algorithm: str,
    parameters: Mapping[str, Any],
    *,
    timeout_seconds: float,
    prefix: str = "",
) -> str:
    """Queue a training unless one waits or runs already.

    Parameters
    ----------
    connection : redis.Redis
        Of the queue.
    algorithm, parameters
        Checked by the caller.
    timeout_seconds : float
        Longest that it may take.
    prefix : str
        What the address of another training begins with.

    Returns
    -------
    str
        Id of the job.

    Raises
    ------
    TrainingRuns
        If another one is not finished.
    """
    job_id = uuid.uuid4().hex
    with connection.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(keys.TRAINING)  # type: ignore[no-untyped-call]
                holder = _holder(pipeline)
                if holder is not None:
                    _refuse_if_unfinished(holder, connection, prefix)
                pipeline.multi()
                enqueue_training(
                    pipeline, connection, algorithm, parameters, job_id=job_id, timeout=timeout_seconds
                )
                pipeline.set(keys.TRAINING, job_id, ex=keys.TRAINING_TTL)
                pipeline.execute()
            except WatchError:
                continue  # another request was faster: look at its job
            return job_id


def _holder(connection: redis.Redis) -> str | None:
    """Return the job that was accepted last; None if there was none, or its key holds something else."""
    try:
        holder = connection.get(keys.TRAINING)
    except redis.ResponseError as error:
        if is_damage(error):
            return None
        raise
    if not isinstance(holder, bytes) or not is_job_id(holder):
        return None
    return holder.decode()


def _refuse_if_unfinished(job_id: str, connection: redis.Redis, prefix: str) -> None:
    job = fetch_job(job_id, connection)
    if job is not None and job.origin == QueueName.TRAIN and job.get_status() in _UNFINISHED:
        address = prefix + urls.job(job_id)
        raise TrainingRuns(
            f"Training {job_id} is not finished; see {address}.", {"Location": address}, job=address
        )
