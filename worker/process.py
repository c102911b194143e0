"""A worker process: start-up, heartbeat, and the RQ worker in it."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

import redis
import structlog
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from threadpoolctl import threadpool_limits

from shared.artifacts.store import ArtifactStore
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.database.engine import open_database
from shared.queue.clock import RedisClock
from shared.queue.connections import connect
from shared.queue.damage import is_damage, mend_keys, refusal
from shared.queue.heartbeat import Heartbeat
from shared.queue.jobs import MovierecJob, open_queue
from shared.settings import WorkerSettings
from worker import jobs
from worker.allocator import keep_freed_memory
from worker.rq_workers import Pace, ServeWorker, Stop, TrainWorker
from worker.serving import Serving

log = structlog.get_logger(__name__)

_RESTART_DELAY_SECONDS = 1.0
_STEADY_SECONDS = 10.0
"""After which a worker that fails again fails anew."""
_NO_MODEL_REMINDER_SECONDS = 30.0
_WORKER_TTL_SECONDS = 30
_MAINTENANCE_SECONDS = 5
"""How long a job may look as if it ran after the lease of a worker that died of it has ended."""

_NICENESS = {QueueName.SERVE: 5, QueueName.TRAIN: 10, QueueName.WARM: 15}
"""On a machine that also serves, whoever waits for an answer comes before whoever does not."""


def run_worker(settings: WorkerSettings, queue: QueueName) -> None:
    """Work until told to stop by SIGTERM or SIGINT; a job that runs is finished first.

    Redis may go away and come back; the model stays in memory meanwhile.

    Raises
    ------
    ServiceError
        If the database cannot be used.
    """
    stop, pace, clock = Stop(), Pace(), RedisClock()
    stop.listen()
    engine = open_database(settings.database)
    queue_connection = connect(settings.queue)
    serving: Serving | None = None
    if queue is not QueueName.TRAIN:
        threadpool_limits(settings.compute_threads)
        keep_freed_memory()
        serving = Serving(ArtifactStore(settings.models), engine)
        jobs.configure(
            jobs.ServingContext(
                serving=serving,
                # The same object where they are the same Redis, so that both are told in one step.
                cache=queue_connection if settings.cache == settings.queue else connect(settings.cache),
                queue=queue_connection,
                listens_to=queue,
                clock=clock,
            )
        )
        serving.refresh()
    pulse = _Pulse(settings, queue, serving, queue_connection, pace, clock)
    pulse.start()
    # On Linux each thread has its own niceness: the pulse, which also takes over new models, keeps its pace.
    with contextlib.suppress(OSError):
        os.nice(_NICENESS[queue])
    try:
        _wait_for_model(serving, stop)
        log.info("worker started", queue=queue.value, pid=os.getpid())
        said = None
        while not stop.requested:
            said = _work(queue, settings, stop, pace, said)
    finally:
        pulse.end()
        engine.dispose()
        log.info("worker stopped", queue=queue.value, pid=os.getpid())
        stop.ignore()


def _work(queue: QueueName, settings: WorkerSettings, stop: Stop, pace: Pace, said: str | None) -> str | None:
    """Run one RQ worker until it ends: on request, or because Redis failed it in the middle of a job.

    Parameters
    ----------
    said : str or None
        What the log has already of Redis.
    queue, settings, stop, pace
        As of :func:`run_worker`.

    Returns
    -------
    str or None
        What it has now: a Redis that is full, and stays so, is worth one line.
    """
    # RQ raises the time-outs of the client that it is given, so it gets one of its own.
    connection = connect(settings.queue)
    problem, began = None, time.monotonic()
    try:
        mend_keys(connection)
        worker = _rq_worker(queue, connection, stop, pace)
        worker.work(logging_level="WARNING")
    except redis.RedisError as error:
        problem = refusal(error) or str(error)
        if problem != said or time.monotonic() - began > _STEADY_SECONDS:
            log.warning("the queue cannot be used", reason=problem)
    stop.wait(_RESTART_DELAY_SECONDS)
    return problem


def _rq_worker(queue: QueueName, connection: redis.Redis, stop: Stop, pace: Pace) -> BaseWorker:
    options = {
        "connection": connection,
        "job_class": MovierecJob,
        "serializer": JSONSerializer,
        "worker_ttl": _WORKER_TTL_SECONDS,
        "maintenance_interval": _MAINTENANCE_SECONDS,
        "log_job_description": False,
        "stop": stop,
    }
    queues = [open_queue(queue, connection)]
    return (
        TrainWorker(queues, **options)
        if queue is QueueName.TRAIN
        else ServeWorker(queues, pace=pace, **options)
    )


def _wait_for_model(serving: Serving | None, stop: Stop) -> None:
    """Take no job before there is a model to answer it with."""
    interval = keys.HEARTBEAT_INTERVAL.total_seconds()
    while serving is not None and serving.version is None and not stop.requested:
        log.warning("there is no model yet; waiting for one: movierec train, or POST /api/v1/models")
        for _ in range(int(_NO_MODEL_REMINDER_SECONDS / interval)):
            if serving.version is not None or stop.wait(interval):
                break


class _Pulse(threading.Thread):
    """Tells Redis twice a second that this process lives, and watches for a new model.

    It waits by the monotonic clock and Redis counts the time to live, so no clock that is set stops it.
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
        super().__init__(name="pulse", daemon=True)
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
        """Log the first of a row of failures and the end of it: a pulse must not die."""
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
