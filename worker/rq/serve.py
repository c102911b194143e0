"""A worker that runs its jobs in its own process, where the model is."""

import time
from typing import Any

from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.utils import now
from rq.worker import WorkerStatus

from shared.queue.jobs import SERVE_TIMEOUT_SECONDS
from worker.rq.base import QuietWorker
from worker.rq.pace import Pace

_LEASE_MARGIN_SECONDS = 5


class ServeWorker(QuietWorker, SimpleWorker):
    """Runs jobs in this process, where the model is, with one round trip before and one after each.

    A job has neither dependents, rate limits, repeats nor callbacks here, so nothing is watched or released
    after it; whatever fails goes RQ's long way.

    Parameters
    ----------
    pace : Pace, optional
        Told how long jobs take.
    *args, **kwargs
        Of :class:`worker.rq.base.QuietWorker`.
    """

    def __init__(self, *args: Any, pace: Pace | None = None, **kwargs: Any) -> None:
        self.pace = pace or Pace()
        super().__init__(*args, **kwargs)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return for how many seconds a started job counts as alive.

        An alarm ends a job that hangs; the margin is for what follows. RQ adds a minute, for which nobody
        would learn that a worker died of its job.
        """
        return int(job.timeout or SERVE_TIMEOUT_SECONDS) + _LEASE_MARGIN_SECONDS

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job and measure it, unless it was skipped."""
        began = time.perf_counter()
        super().execute_job(job, queue)
        result = job._result
        if isinstance(result, dict) and result.get("computed"):
            self.pace.add(time.perf_counter() - began)

    def prepare_execution(self, job: Job) -> Execution:
        """Note that the job starts, and take it out of the intermediate list, in one transaction.

        What RQ does in two, so that a death between them leaves a job both started and waiting.
        """
        lease = self.get_heartbeat_ttl(job)
        with self.connection.pipeline() as pipeline:
            execution = Execution.create(job, lease, pipeline=pipeline, worker_name=self.name)
            self.set_state(WorkerStatus.BUSY, pipeline=pipeline)
            job.prepare_for_execution(self.name, pipeline=pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(self.queues[0].intermediate_queue_key, 1, job.id)
            pipeline.execute()
        self.executions[execution.id] = execution
        return execution

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Do nothing: :meth:`prepare_execution` did it."""

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        """Note the time; the handling of the outcome writes it."""
        job.ended_at = now()

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Keep the result, end the execution and be idle, in one transaction.

        RQ watches the job's dependents first and tells of the idle worker afterwards: five round trips.
        """
        assert job.started_at is not None
        assert job.ended_at is not None
        result_ttl = job.get_result_ttl(self.default_result_ttl)
        with self.connection.pipeline() as pipeline:
            self.increment_successful_job_count(pipeline=pipeline)
            self.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            if result_ttl != 0:
                job._handle_success(
                    result_ttl,
                    pipeline=pipeline,
                    worker_name=self.name,
                    execution_id=execution.id,
                    execution_started_at=execution.created_at,
                    execution_ended_at=job.ended_at,
                )
            job.cleanup(result_ttl, pipeline=pipeline, remove_from_queue=False)
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            self.set_state(WorkerStatus.IDLE, pipeline=pipeline)
            pipeline.execute()
