from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
import redis

from tests.conftest import Trained
from tests.processes import Command
from worker import jobs
from worker.serving import Serving


@pytest.fixture
def context(redis_client: redis.Redis, serving: Serving) -> Iterator[jobs.ServingContext]:
    """Have this process serve."""
    context = jobs.ServingContext(serving, redis_client, redis_client)
    jobs.configure(context)
    yield context
    jobs._context = None


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
