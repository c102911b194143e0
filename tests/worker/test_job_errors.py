"""Why a job failed stands in the job, for whoever asks."""

import json
import os
import signal
import time
from typing import Any

import pytest
import redis
from rq.exceptions import AbandonedJobError
from rq.job import JobStatus
from rq.registry import StartedJobRegistry
from rq.timeouts import JobTimeoutException

from shared.contract.jobs import TRAIN_JOB, QueueName
from shared.contract.kinds import RULES, Kind
from shared.errors import DataError, MovierecError
from shared.queue.job_errors import INTERNAL_ERROR, TIMED_OUT, WORKER_DIED, JobError
from shared.queue.jobs import (
    FAILURE_TTL_SECONDS,
    Handler,
    MovierecJob,
    enqueue_rankings,
    enqueue_training,
    fetch_job,
    open_queue,
)
from tests.worker.conftest import serve_worker
from worker.rq.train import TrainWorker

SUGGEST = RULES[Kind.SUGGESTED].job


class OutsideError(MovierecError):
    """Of no class that users know."""


def raising(error: BaseException) -> Handler:
    def handler(**kwargs: Any) -> dict[str, Any]:
        raise error

    return handler


def failed(client: redis.Redis, job_id: str) -> MovierecJob:
    job = fetch_job(job_id, client)
    assert job is not None
    assert job.get_status() is JobStatus.FAILED
    return job


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("no ratings\nat all"), JobError(type="DataError", message="no ratings\nat all")),
        (DataError("a name \udcff"), JobError(type="DataError", message="a name ?")),
        (JobTimeoutException("too long"), TIMED_OUT),
        (OutsideError("inside"), INTERNAL_ERROR),
        (KeyError("secret"), INTERNAL_ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_job_raised(redis_client: redis.Redis, error: Exception, expected: JobError) -> None:
    enqueue_rankings(redis_client, SUGGEST, [1], job_id="a", deadline=4e9)
    serve_worker(redis_client, {SUGGEST: raising(error)}).work(burst=True, logging_level="CRITICAL")
    assert JobError.from_meta(failed(redis_client, "a").meta) == expected


def test_a_job_of_another_queue_is_refused(redis_client: redis.Redis) -> None:
    enqueue_rankings(redis_client, SUGGEST, [1], job_id="a", deadline=4e9)
    serve_worker(redis_client, {}).work(burst=True, logging_level="CRITICAL")
    job = failed(redis_client, "a")
    assert JobError.from_meta(job.meta) == INTERNAL_ERROR
    result = job.latest_result()
    assert result is not None
    assert "which this queue does not run" in str(result.exc_string)


def test_a_training_that_died_keeps_how_far_it_was(redis_client: redis.Redis) -> None:
    def die(algorithm: str, parameters: dict[str, Any]) -> dict[str, Any]:
        job = fetch_job("a", redis_client)
        assert job is not None
        job.meta["progress"] = "far"
        job.save_meta()
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with redis_client.pipeline() as pipeline:
        enqueue_training(pipeline, redis_client, "svd", {}, job_id="a", timeout=60)
        pipeline.execute()
    queue = open_queue(QueueName.TRAIN, redis_client)
    worker = TrainWorker(
        [queue],
        connection=redis_client,
        job_class=MovierecJob,
        serializer="json",
        handlers={TRAIN_JOB: die},
    )
    worker.work(burst=True, logging_level="CRITICAL", max_jobs=1)
    again = fetch_job("a", redis_client)
    assert again is not None
    assert again.get_status() is JobStatus.QUEUED
    assert JobError.from_meta(again.meta) is None, "it is tried again"
    worker.work(burst=True, logging_level="CRITICAL")
    job = failed(redis_client, "a")
    assert job.meta == {"progress": "far", "error": WORKER_DIED.model_dump()}


@pytest.mark.parametrize("meta", [None, "junk", "[1]"])
def test_a_job_whose_worker_died(redis_client: redis.Redis, meta: str | None) -> None:
    queue = open_queue(QueueName.SERVE, redis_client)
    job = queue.enqueue(SUGGEST, kwargs={"ids": [1], "deadline": 4e9}, job_id="a")
    queue.remove("a")
    worker = serve_worker(redis_client, {})
    worker.prepare_execution(job)
    if meta is not None:
        redis_client.hset("rq:job:a", "meta", meta)
    registry = StartedJobRegistry(queue=queue, job_class=MovierecJob)
    registry.cleanup(timestamp=time.time() + FAILURE_TTL_SECONDS, exception_handlers=worker._exc_handlers)
    found = failed(redis_client, "a")
    assert JobError.from_meta(found.meta) == WORKER_DIED
    result = found.latest_result()
    assert result is not None
    assert AbandonedJobError.__name__ in str(result.exc_string)


@pytest.mark.parametrize(
    "stored",
    ["1", "[]", "{}", '{"error": 1}', '{"error": {"type": "", "message": "x"}}', '{"error": {"type": "A"}}'],
)
def test_what_is_no_error_is_none(stored: str) -> None:
    assert JobError.from_meta(json.loads(stored)) is None
