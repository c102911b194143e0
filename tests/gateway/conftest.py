"""A gateway with two workers and a trainer, as real processes, started once."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shared.redis_server.server import RedisServer
from tests.conftest import Trained
from tests.processes import Command, Gateway

TOKEN = "a-token-for-the-tests-only"


@dataclass(frozen=True)
class Service:
    """What runs.

    Attributes
    ----------
    client : httpx.Client
        To a gateway that keeps no answers in its memory, so that tests may change what is in Redis.
    remembering : httpx.Client
        To another one, that does.
    redis_url : str
        Its Redis, of its own.
    trained : Trained
        Its data and model.
    """

    client: httpx.Client
    remembering: httpx.Client
    redis_url: str
    trained: Trained


@pytest.fixture(scope="session")
def service(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("service")
    with ExitStack() as stack:
        server = RedisServer(directory / "redis")
        server.start()
        stack.callback(server.stop)
        environment = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": server.url, "ADMIN_TOKEN": TOKEN}
        for number in (1, 2):
            alive = str(directory / f"worker-{number}.alive")
            log = directory / f"worker-{number}.log"
            stack.enter_context(Command("worker", log=log, HEARTBEAT_FILE=alive, **environment))
        forgetful = {**environment, "LOCAL_CACHE_MB": "0"}
        gateway = stack.enter_context(Gateway(log=directory / "gateway.log", **forgetful))
        other = stack.enter_context(Gateway(log=directory / "remembering.log", **environment))
        gateway.wait_until_ready(2)
        other.wait_until_ready(2)
        yield Service(gateway.client, other.client, server.url, trained)


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client


@pytest.fixture
def lonely_gateway(trained: Trained, redis_url: str, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway without any worker, that waits half a second at most."""
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "WAIT_BUDGET": "0.5"}
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway:
        yield gateway
