"""A worker process: start-up, heartbeat, and the RQ worker in it."""

import contextlib
import os
import time
from collections.abc import Mapping

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
from shared.queue.damage import mend_keys, refusal
from shared.queue.jobs import Handler, MovierecJob, open_queue
from shared.settings import WorkerSettings
from worker.allocator import keep_freed_memory
from worker.heartbeat_thread import HeartbeatThread
from worker.jobs.context import ServingContext
from worker.jobs.handlers import TRAINING_HANDLERS, serving_handlers
from worker.rq.pace import Pace
from worker.rq.serve import ServeWorker
from worker.rq.stop import Stop
from worker.rq.train import TrainWorker
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
"""On a machine that also serves, questions of users come before all other work."""


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
    handlers = TRAINING_HANDLERS
    if queue is not QueueName.TRAIN:
        threadpool_limits(settings.compute_threads)
        keep_freed_memory()
        serving = Serving(ArtifactStore(settings.models), engine)
        context = ServingContext(
            serving=serving,
            # The same object where they are the same Redis, so that both are told in one step.
            cache=queue_connection if settings.cache == settings.queue else connect(settings.cache),
            queue=queue_connection,
            clock=clock,
        )
        handlers = serving_handlers(context, queue)
        serving.refresh()
    heartbeat_thread = HeartbeatThread(settings, queue, serving, queue_connection, pace, clock)
    heartbeat_thread.start()
    # On Linux each thread has its own niceness: the heartbeats, which also load new models, keep their pace.
    with contextlib.suppress(OSError):
        os.nice(_NICENESS[queue])
    try:
        _wait_for_model(serving, stop)
        log.info("worker started", queue=queue.value, pid=os.getpid())
        said = None
        while not stop.requested:
            said = _work(queue, settings, handlers, stop, pace, said)
    finally:
        heartbeat_thread.end()
        engine.dispose()
        log.info("worker stopped", queue=queue.value, pid=os.getpid())
        stop.ignore()


def _work(
    queue: QueueName,
    settings: WorkerSettings,
    handlers: Mapping[str, Handler],
    stop: Stop,
    pace: Pace,
    said: str | None,
) -> str | None:
    """Run one RQ worker until it ends: on request, or because Redis failed it in the middle of a job.

    Parameters
    ----------
    said : str or None
        What the log has already of Redis.
    queue, settings, handlers, stop, pace
        As in :func:`run_worker`.

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
        worker = _rq_worker(queue, connection, handlers, stop, pace)
        worker.work(logging_level="WARNING")
    except redis.RedisError as error:
        problem = refusal(error) or str(error)
        if problem != said or time.monotonic() - began > _STEADY_SECONDS:
            log.warning("the queue cannot be used", reason=problem)
    stop.wait(_RESTART_DELAY_SECONDS)
    return problem


def _rq_worker(
    queue: QueueName,
    connection: redis.Redis,
    handlers: Mapping[str, Handler],
    stop: Stop,
    pace: Pace,
) -> BaseWorker:
    options = {
        "connection": connection,
        "job_class": MovierecJob,
        "serializer": JSONSerializer,
        "worker_ttl": _WORKER_TTL_SECONDS,
        "maintenance_interval": _MAINTENANCE_SECONDS,
        "log_job_description": False,
        "handlers": handlers,
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
