"""A worker process: start-up, heartbeat, signals, and the RQ worker in it."""

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from types import FrameType

import redis
import structlog
from rq import Queue, SimpleWorker, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from threadpoolctl import threadpool_limits

from shared import keys
from shared.artifacts import ArtifactStore
from shared.broker import Heartbeat, MovierecJob, connect, open_queue
from shared.contract import QueueName
from shared.database.engine import open_database
from shared.parent import die_with_parent
from shared.settings import WorkerSettings
from worker import jobs
from worker.serving import Serving

log = structlog.get_logger(__name__)

_RESTART_DELAY_SECONDS = 1.0
_NO_MODEL_REMINDER_SECONDS = 30.0


class _Loop:
    """What our RQ workers have in common: when to stop, and how fast to come back."""

    # Redis comes back within seconds; RQ would wait up to a minute.
    max_connection_wait_time = 2.0
    stopping: threading.Event

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[misc]


class ServeWorker(_Loop, SimpleWorker):
    """Runs jobs in this process, where the model is."""


class TrainWorker(_Loop, Worker):
    """Runs each job in a forked child, which may take hours and may be killed."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run a job in the child; it ends when this worker does, however that ends."""
        die_with_parent()
        super().main_work_horse(job, queue)


def run_worker(settings: WorkerSettings, queue: QueueName) -> None:
    """Work until told to stop by SIGTERM or SIGINT; a job that runs is finished first.

    Redis may go away and come back; the model stays in memory meanwhile.

    Raises
    ------
    ServiceError
        If the database cannot be used.
    """
    stopping = threading.Event()
    engine = open_database(settings.database)
    queue_connection = connect(settings.queue)
    serving: Serving | None = None
    if queue is QueueName.SERVE:
        threadpool_limits(settings.compute_threads)
        serving = Serving(ArtifactStore(settings.models), engine)
        jobs.configure(
            jobs.ServingContext(serving=serving, cache=connect(settings.cache), queue=queue_connection)
        )
        serving.refresh()
    pulse = _Pulse(settings, queue, serving, queue_connection, stopping)
    pulse.start()
    try:
        _wait_for_model(serving, stopping)
        worker_class: type[BaseWorker] = ServeWorker if queue is QueueName.SERVE else TrainWorker
        log.info("worker started", queue=queue.value, pid=os.getpid())
        while not stopping.is_set():
            _work(worker_class, queue, settings, stopping)
    finally:
        stopping.set()
        pulse.join()
        engine.dispose()
        log.info("worker stopped", queue=queue.value, pid=os.getpid())


def _work(
    worker_class: type[BaseWorker], queue: QueueName, settings: WorkerSettings, stopping: threading.Event
) -> None:
    """Run one RQ worker until it ends: on request, or because Redis failed it in the middle of a job."""
    # RQ raises the time-outs of the client that it is given, so it gets one of its own.
    connection = connect(settings.queue)
    try:
        worker = worker_class(
            [open_queue(queue, connection)],
            connection=connection,
            job_class=MovierecJob,
            serializer=JSONSerializer,
            worker_ttl=30,
            maintenance_interval=15,
            log_job_description=False,
        )
        worker.stopping = stopping  # type: ignore[attr-defined]
        worker.work(logging_level="WARNING")
    except redis.RedisError as error:
        log.warning("the queue does not answer", reason=str(error))
    if not stopping.is_set():
        _restore_signals(stopping)
        stopping.wait(_RESTART_DELAY_SECONDS)


def _wait_for_model(serving: Serving | None, stopping: threading.Event) -> None:
    """Take no job before there is a model to answer it with."""
    _restore_signals(stopping)
    while serving is not None and serving.version is None and not stopping.is_set():
        log.warning("there is no model yet; waiting for one: movierec train, or POST /api/v1/models")
        deadline = _NO_MODEL_REMINDER_SECONDS / keys.HEARTBEAT_INTERVAL.total_seconds()
        for _ in range(int(deadline)):
            if serving.version is not None or stopping.wait(keys.HEARTBEAT_INTERVAL.total_seconds()):
                break


def _restore_signals(stopping: threading.Event) -> None:
    """Stop cleanly also while no RQ worker listens for signals."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())


class _Pulse(threading.Thread):
    """Tells Redis twice a second that this process lives, and watches for a new model."""

    def __init__(
        self,
        settings: WorkerSettings,
        queue: QueueName,
        serving: Serving | None,
        connection: redis.Redis,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self._file = settings.heartbeat_file
        self._serving = serving
        self._connection = connection
        self._stopping = stopping
        self._heartbeat = Heartbeat(
            worker_id=uuid.uuid4().hex, queue=queue, host=socket.gethostname(), pid=os.getpid()
        )
        self._failing: set[str] = set()

    def run(self) -> None:
        while True:
            self._attempt("model", self._refresh)
            self._attempt("heartbeat", self._beat)
            if self._stopping.wait(keys.HEARTBEAT_INTERVAL.total_seconds()):
                break
        self._attempt("goodbye", lambda: self._heartbeat.withdraw(self._connection))

    def _refresh(self) -> None:
        if self._serving is not None:
            self._serving.refresh()
            self._heartbeat.model_version = self._serving.version

    def _beat(self) -> None:
        self._heartbeat.send(self._connection)
        self._file.touch()

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        """Log the first of a row of failures and the end of it: a pulse must not die."""
        try:
            action()
        except Exception as error:
            if what not in self._failing:
                log.warning(f"{what} failed", reason=str(error))
            self._failing.add(what)
        else:
            if what in self._failing:
                log.info(f"{what} works again")
            self._failing.discard(what)
