"""Sends a worker's heartbeats, and has it look for a new model."""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Callable

import redis
import structlog

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.queue.clock import RedisClock
from shared.queue.damage import is_damage, mend_keys, refusal
from shared.queue.heartbeat import Heartbeat
from shared.settings import WorkerSettings
from worker.rq.pace import Pace
from worker.serving import Serving

log = structlog.get_logger(__name__)


class HeartbeatThread(threading.Thread):
    """Tells Redis twice a second that this process lives, and has a new model loaded.

    It waits by the monotonic clock and Redis counts the time to live, so no clock that is set stops it.

    Parameters
    ----------
    settings : WorkerSettings
        Name the file that is touched with each heartbeat.
    queue : QueueName
        That the worker listens to.
    serving : Serving or None
        Its model.
    connection : redis.Redis
        Of the queue.
    pace : Pace
        How long its jobs take.
    clock : RedisClock
        Set with each heartbeat.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        queue: QueueName,
        serving: Serving | None,
        connection: redis.Redis,
        pace: Pace,
        clock: RedisClock,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._file = settings.heartbeat_file
        self._serving = serving
        self._connection = connection
        self._pace = pace
        self._clock = clock
        self._ending = threading.Event()
        self._heartbeat = Heartbeat(
            worker_id=uuid.uuid4().hex, queue=queue, host=socket.gethostname(), pid=os.getpid()
        )
        self._announced: str | None = ""
        self._failing: set[str] = set()

    def run(self) -> None:
        """Go on until :meth:`end`."""
        while True:
            self._attempt("model", self._refresh)
            self._attempt("heartbeat", self._beat)
            if self._ending.wait(keys.HEARTBEAT_INTERVAL.total_seconds()):
                break
        self._attempt("goodbye", lambda: self._heartbeat.withdraw(self._connection))

    def end(self) -> None:
        """Say goodbye and return when that is done."""
        self._ending.set()
        self.join()

    def _refresh(self) -> None:
        if self._serving is not None:
            self._serving.refresh()
            self._heartbeat.model_version = self._serving.version

    def _beat(self) -> None:
        version = self._heartbeat.model_version
        self._heartbeat.job_seconds = self._pace.seconds
        self._clock.set(self._heartbeat.send(self._connection, announce=version != self._announced))
        self._announced = version
        self._file.touch()

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        """Log the first of a row of failures and the end of it: this thread must not die."""
        try:
            action()
        except Exception as error:
            if what not in self._failing:
                log.warning(f"{what} failed", reason=refusal(error) or str(error))
            self._failing.add(what)
            if is_damage(error):
                with contextlib.suppress(redis.RedisError):
                    mend_keys(self._connection)
        else:
            if what in self._failing:
                log.info(f"{what} works again")
            self._failing.discard(what)
