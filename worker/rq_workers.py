"""RQ's workers, with cheap bookkeeping and an end that loses nothing.

RQ's own in-process worker makes 20 round trips and 57 commands a job, most of them to say several times that
it lives. :class:`ServeWorker` makes four round trips: take the job's id, read the job, note its start, note
its end. What RQ shows of jobs, registries and workers is the same.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import redis
import structlog
from redis.client import Pipeline
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import DequeueTimeout, DeserializationError
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry, clean_registries
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from shared.contract import keys
from shared.processes.parent import die_with_parent
from shared.queue.damage import count, is_damage, mend_keys
from shared.queue.jobs import FAILURE_TTL_SECONDS, SERVE_TIMEOUT_SECONDS, ForbiddenJobError

log = structlog.get_logger(__name__)

_DEQUEUE_SECONDS = 0.5
"""How long one wait for a job lasts, and so how long a signal to stop may go unnoticed."""

_LOOK_SECONDS = 1.0
"""Between two heartbeats, each of which also asks for ``rq suspend``."""

_LEASE_MARGIN_SECONDS = 5
_INSIST_SECONDS = 1.0
_RECONNECT_SECONDS = (0.5, 2.0)
_SHOWN_CHARACTERS = 200


class Stop:
    """Whether this process was asked to end by SIGTERM or SIGINT.

    A signal may come at any moment, also while another one is handled, so its handler only sets a flag: an
    exception would lose the job that was just taken from the queue, and the lock inside a
    ``threading.Event`` may be held by the very thread that the signal interrupts.

    Attributes
    ----------
    requested : bool
        Whether to end after the job that runs.
    insisted : callable or None
        Called if a second signal comes more than a second after the first.
    """

    def __init__(self) -> None:
        self.requested = False
        self.insisted: Callable[[], None] | None = None
        self._first = 0.0

    def listen(self) -> None:
        """Take over both signals; in the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Hear no more: an interpreter that ends takes the handler away before it is gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def request(self) -> None:
        """Ask for the end."""
        self.requested = True

    def wait(self, seconds: float) -> bool:
        """Return after some seconds, or soon after the request; tell whether there is one."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self.requested

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self.requested:
            self._first = time.monotonic()
            self.requested = True
        elif self.insisted is not None and time.monotonic() - self._first > _INSIST_SECONDS:
            self.insisted()


class Pace:
    """How long jobs take, averaged with weights that fade.

    One thread measures, others read; a float is replaced as a whole, so no lock is needed.

    Attributes
    ----------
    seconds : float
        A job; 0 before the first.
    """

    _WEIGHT = 0.1

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Take another job into account."""
        self.seconds += (seconds - self.seconds) * (self._WEIGHT if self.seconds else 1.0)


class _QuietWorker(BaseWorker):
    """What our workers have in common: few words to Redis, and an end between two jobs.

    Parameters
    ----------
    stop : Stop, optional
        Tells when to end.
    *args, **kwargs
        Of RQ's worker.
    """

    def __init__(self, *args: Any, stop: Stop | None = None, **kwargs: Any) -> None:
        self.stop = stop or Stop()
        self._next_look = self._next_maintenance = 0.0
        super().__init__(*args, **kwargs)

    # The end ----------------------------------------------------------------------------------------------

    @property
    def _stop_requested(self) -> bool:
        return self.stop.requested

    @_stop_requested.setter
    def _stop_requested(self, value: bool) -> None:
        if value:
            self.stop.request()

    def _install_signal_handlers(self) -> None:
        """Leave the process's handlers in place.

        RQ's raise ``StopRequested`` wherever the signal finds the worker; between taking a job and noting
        its start that strands the job in the intermediate list (https://github.com/rq/rq/issues/2236).
        """

    @property
    def dequeue_timeout(self) -> float:  # type: ignore[override]  # it ends in BLMOVE, which takes floats
        """Seconds that one wait for a job lasts; RQ's last nearly as long as ``worker_ttl``."""
        return _DEQUEUE_SECONDS

    def dequeue_job_and_maintain_ttl(
        self, timeout: float | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Return a job as soon as there is one; None when asked to stop, or at once without a time-out.

        RQ's version looks for nothing but a job while it waits, and heartbeats before and after; ours waits
        in short steps and looks at the flag between them, when no job is in its hands.
        """
        first_pause, longest_pause = _RECONNECT_SECONDS
        pause = first_pause
        while not self.stop.requested:
            try:
                self.set_state(WorkerStatus.IDLE)
                self.check_for_suspension(burst=timeout is None)
                if self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()
                found = self.queue_class.dequeue_any(
                    self.queues,
                    timeout,  # type: ignore[arg-type]
                    connection=self.connection,
                    job_class=self.job_class,
                    serializer=self.serializer,
                    death_penalty_class=self.death_penalty_class,
                )
            except DequeueTimeout:
                continue
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if pause == first_pause:
                    log.warning("the queue does not answer", reason=str(error))
                self.stop.wait(pause)
                pause = min(2 * pause, longest_pause)
            except redis.RedisError as error:
                if not is_damage(error) or getattr(error, "job_id", None) is None:
                    raise
                self._set_aside(error)  # its key is none of a job
            except Exception as error:
                self._set_aside(error)
            else:
                if found is not None:
                    # Its own word for where it came from would name the registries that it is kept in.
                    found[0].origin = found[1].name
                return found
        return None

    def unsubscribe(self) -> None:
        """Listen no more to RQ's commands.

        RQ ends its thread after the subscription, without which the thread waits for another one, and RQ
        waits a second for the thread: the longest part of every end.
        """
        self._end_thread()
        super().unsubscribe()  # type: ignore[no-untyped-call]

    def teardown(self) -> None:
        """Say goodbye; if Redis does not hear it, still end the thread, which would try for ever."""
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            self._end_thread()
            raise

    def _end_thread(self) -> None:
        thread: Any = self.pubsub_thread
        if thread is not None:
            thread.stop()

    # Heartbeats and maintenance ---------------------------------------------------------------------------

    def check_for_suspension(self, burst: bool) -> None:
        """Send a heartbeat and wait while ``rq suspend`` holds, in one round trip, at most once a second."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            super().check_for_suspension(burst)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives, as a part of a pipeline.

        RQ also calls this three times a job without a pipeline, three commands each;
        :meth:`check_for_suspension` is enough. All that is known of the worker is written, so that RQ sees it
        again after Redis lost its memory, or this machine slept for longer than the key lives.
        """
        if pipeline is None:
            return
        super().heartbeat(timeout, pipeline)
        pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
        worker_registration.register(self, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Tell Redis what this worker does, unless that is what it knows already."""
        if pipeline is not None or state != self.get_state():
            super().set_state(state, pipeline)

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether the interval is over, by a clock that nobody can set."""
        return time.monotonic() >= self._next_maintenance

    def run_maintenance_tasks(self) -> None:
        """Clean up after dead workers; one job that RQ cannot read must not end all workers in turn."""
        self._next_maintenance = time.monotonic() + self.maintenance_interval
        mend_keys(self.connection)
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            raise
        except Exception:
            log.exception("maintenance failed")

    def clean_registries(self) -> None:
        """Clean the registries of each queue, one worker of all in each interval.

        RQ's lock is given back at once, so that every worker cleans in every interval, and it outlives a
        worker that dies with it by a quarter of an hour.
        """
        for queue in self.queues:
            lifetime = max(1, self.maintenance_interval - 1)
            if self.connection.set(queue.registry_cleaning_key, self.name, nx=True, ex=lifetime):
                clean_registries(queue, self._exc_handlers)
                worker_registration.clean_worker_registry(queue)
                queue.intermediate_queue.cleanup(self, queue)

    # Jobs that are not ours -------------------------------------------------------------------------------

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log what a job raised; a job that is not ours is counted and gets one line, not a trace."""
        error = exc_info[1]
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
        """Keep a failed job for as long as ours are kept; RQ keeps what names no time a year or for ever."""
        if job.failure_ttl is None or not 0 <= job.failure_ttl <= FAILURE_TTL_SECONDS:
            job.failure_ttl = FAILURE_TTL_SECONDS
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


class ServeWorker(_QuietWorker, SimpleWorker):
    """Runs jobs in this process, where the model is, with one round trip before and one after each.

    A job has neither dependents, rate limits, repeats nor callbacks here, so nothing is watched or released
    after it; whatever fails goes RQ's long way.

    Parameters
    ----------
    pace : Pace, optional
        Told how long jobs take.
    *args, **kwargs
        Of RQ's worker, and ``stop``.
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
        """Note the time; whoever handles the outcome writes it."""
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


class TrainWorker(_QuietWorker, Worker):
    """Runs each job in a forked child, which may take hours and may be killed.

    A first signal lets a training end, a second one ends it; RQ then puts it back into the queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop.insisted = self._end_training

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run a job in the child; it ends when this worker does, however that ends."""
        die_with_parent()
        super().main_work_horse(job, queue)

    def _end_training(self) -> None:
        if self.horse_pid:
            # Not RQ's kill_horse, which kills the process group: right after the fork that is still ours.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGKILL)
