"""What our workers have in common: few words to Redis, and an end between two jobs."""

import time
from collections.abc import Mapping
from typing import Any

import redis
import structlog
from redis.client import Pipeline
from rq import Queue, worker_registration
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.worker import WorkerStatus

from shared.queue.damage import is_damage
from shared.queue.jobs import Handler, MovierecJob
from worker.rq.failures import RefusingWorker
from worker.rq.maintenance import MaintainingWorker
from worker.rq.stop import Stop

log = structlog.get_logger(__name__)

_DEQUEUE_SECONDS = 0.5
"""How long one wait for a job lasts, and so how long a signal to stop may go unnoticed."""

_LOOK_SECONDS = 1.0
"""Between two heartbeats, each of which also asks for ``rq suspend``."""

_RECONNECT_SECONDS = (0.5, 2.0)


class QuietWorker(MaintainingWorker, RefusingWorker):
    """What our workers have in common: few words to Redis, and an end between two jobs.

    Parameters
    ----------
    handlers : mapping of str to Handler, optional
        What runs a job of each name; a job without one is refused.
    stop : Stop, optional
        Tells when to end.
    *args, **kwargs
        Of RQ's worker.
    """

    def __init__(
        self,
        *args: Any,
        handlers: Mapping[str, Handler] | None = None,
        stop: Stop | None = None,
        **kwargs: Any,
    ) -> None:
        self.handlers = handlers or {}
        self.stop = stop or Stop()
        self._next_look = 0.0
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
                    if isinstance(found[0], MovierecJob):
                        found[0].handlers = self.handlers
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

    # Heartbeats -------------------------------------------------------------------------------------------

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
