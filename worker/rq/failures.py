"""What a worker does with jobs that fail, are not ours, or cannot be read."""

import contextlib
from typing import Any

import redis
import structlog
from rq import Queue
from rq.exceptions import AbandonedJobError, DeserializationError
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.worker import BaseWorker

from shared.contract import keys
from shared.queue.damage import count
from shared.queue.job_errors import INTERNAL_ERROR, WORKER_DIED, JobError
from shared.queue.jobs import FAILURE_TTL_SECONDS, ForbiddenJobError, MovierecJob

log = structlog.get_logger(__name__)

_SHOWN_CHARACTERS = 200


class RefusingWorker(BaseWorker):
    """Says why a job failed, and takes what is no job of ours out of the way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.push_exc_handler(_explain_abandoned)  # type: ignore[no-untyped-call]

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log what a job raised; a job that is not ours is counted and gets one line, not a trace."""
        error = exc_info[1]
        if isinstance(job, MovierecJob):
            job.error = JobError.of(error)
        if not isinstance(error, ForbiddenJobError | DeserializationError):
            super().handle_exception(job, *exc_info)
            return
        job.retries_left = 0
        try:
            function = repr(job.func_name)
        except DeserializationError:
            function = "unreadable"
        self._refuse(job.id, function)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: StartedJobRegistry | None = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Say why a job failed, and keep it for as long as ours are kept.

        RQ keeps what names no time a year or for ever.
        """
        if job.failure_ttl is None or not 0 <= job.failure_ttl <= FAILURE_TTL_SECONDS:
            job.failure_ttl = FAILURE_TTL_SECONDS
        if isinstance(job, MovierecJob):
            if self._stopped_job_id == job.id:
                _explain(job, INTERNAL_ERROR)
            elif not job.should_retry:
                _explain(job, job.error or WORKER_DIED)
        # RQ cannot write halves of characters, as in names of files, and the job would stay started.
        exc_string = exc_string.encode(errors="replace").decode()
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)

    def _set_aside(self, error: Exception) -> None:
        """Take a job out of the way whose fields RQ cannot read; RQ itself would end with it in its hands."""
        job_id, queue = getattr(error, "job_id", None), getattr(error, "queue", None)
        if job_id is None or queue is None:
            if isinstance(error, UnicodeDecodeError):
                self._drop_unreadable_ids()
                return
            raise error
        with self.connection.pipeline() as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job_id)
            pipeline.expire(self.job_class.key_for(job_id), FAILURE_TTL_SECONDS)
            pipeline.execute()
        self._refuse(job_id, f"unreadable: {error!r}")

    def _drop_unreadable_ids(self) -> None:
        """Take out of the way what stands where the id of a job that was taken should stand."""
        for queue in self.queues:
            ids: Any = self.connection.lrange(queue.intermediate_queue_key, 0, -1)
            for job_id in ids:
                text = job_id.decode(errors="replace")
                if text.encode() != job_id:
                    self.connection.lrem(queue.intermediate_queue_key, 0, job_id)
                    self._refuse(text, "no id of a job")

    def _refuse(self, job_id: str, function: str) -> None:
        count(self.connection, keys.Counter.REFUSED, 1)
        log.warning("job refused", job=job_id[:_SHOWN_CHARACTERS], function=function[:_SHOWN_CHARACTERS])


def _explain_abandoned(job: Job, *exc_info: Any) -> None:
    """Say of a job whose worker died that it did; RQ calls this before it puts the job where it belongs."""
    if exc_info[0] is AbandonedJobError and isinstance(job, MovierecJob) and not job.should_retry:
        _explain(job, WORKER_DIED)


def _explain(job: MovierecJob, error: JobError) -> None:
    """Write into a job why it failed; that it failed matters more, and is noted even if this cannot be."""
    with contextlib.suppress(redis.RedisError):
        try:
            meta = job.get_meta(refresh=True)  # a training's child has written how far it was
        except (ValueError, RecursionError):  # it is not ours
            meta = None
        job.meta = meta if isinstance(meta, dict) else {}
        error.put_into(job.meta)
        job.save_meta()  # type: ignore[no-untyped-call]
