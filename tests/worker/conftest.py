from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
import redis
from rq.serializers import JSONSerializer

from shared.contract.jobs import QueueName
from shared.queue.jobs import Handler, MovierecJob, open_queue
from tests.conftest import Trained
from tests.processes import Command
from worker.jobs.context import ServingContext
from worker.jobs.handlers import serving_handlers
from worker.rq.serve import ServeWorker
from worker.serving import Serving


@pytest.fixture
def context(redis_client: redis.Redis, serving: Serving) -> ServingContext:
    """What a serving worker works with."""
    return ServingContext(serving, redis_client, redis_client)


def serve_worker(
    client: redis.Redis, handlers: Mapping[str, Handler], queue: QueueName = QueueName.SERVE
) -> ServeWorker:
    return ServeWorker(
        [open_queue(queue, client)],
        connection=client,
        job_class=MovierecJob,
        serializer=JSONSerializer,
        worker_ttl=30,
        maintenance_interval=60,
        handlers=handlers,
    )


def run_jobs(context: ServingContext, queue: QueueName = QueueName.SERVE) -> None:
    """Run what is queued, in this process."""
    worker = serve_worker(context.queue, serving_handlers(context, queue), queue)
    worker.work(burst=True, logging_level="CRITICAL")


class Start(Protocol):
    """Starts a worker of a queue as a process; it is stopped after the test."""

    def __call__(self, queue: str, **environment: str) -> Command: ...


@pytest.fixture
def start(trained: Trained, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        numbers = iter(range(1000))

        def start(queue: str, **environment: str) -> Command:
            name = f"{queue}-{next(numbers)}"
            settings = {
                "DATA_DIR": str(trained.data_dir),
                "QUEUE_URL": redis_url,
                "HEARTBEAT_FILE": str(tmp_path / f"{name}.alive"),
                **environment,
            }
            return stack.enter_context(
                Command("worker", "--queue", queue, log=tmp_path / f"{name}.log", **settings)
            )

        yield start
