"""A database that is away stops no other background task of a gateway."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from gateway import context as context_module
from gateway.context import GatewayContext, open_context
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.queue.jobs import open_queue
from shared.settings import GatewaySettings
from tests.conftest import Trained
from tests.gateway.asking import VERSION, announce

ASKED = keys.asked(*Question(Kind.SUGGESTED, 1))


@pytest.fixture
def database(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.data_dir, tmp_path / "own")) / "movierec.db"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the background tasks run a hundred times as often."""
    monkeypatch.setattr(context_module, "_CHECK_SECONDS", 0.005)
    monkeypatch.setattr(context_module, "_FLUSH_SECONDS", 0.05)


async def until(look: Callable[[], object]) -> None:
    while not look():
        await asyncio.sleep(0.005)


async def all_goes_on(context: GatewayContext, client: redis.Redis) -> None:
    """Return when questions were counted, workers seen, and what is asked most was queued."""
    client.delete(keys.ASKED)
    context.popularity.count(ASKED)
    await until(lambda: client.zscore(keys.ASKED, ASKED))
    announce(client, "server", VERSION)
    announce(client, "warmer", VERSION, QueueName.WARM)
    await until(lambda: context.workers.able_workers == 1)
    await until(lambda: len(open_queue(QueueName.WARM, client)) == 1)


def run(
    database: Path,
    redis_url: str,
    client: redis.Redis,
    take_away: Callable[[GatewayContext], None],
    bring_back: Callable[[], None] = lambda: None,
) -> None:
    settings = GatewaySettings.model_validate({"data_dir": database.parent, "queue_url": redis_url})

    async def main() -> None:
        async with open_context(settings) as context:
            take_away(context)
            try:
                await asyncio.wait_for(all_goes_on(context, client), 8)
            finally:
                bring_back()

    asyncio.run(main())


@pytest.mark.usefixtures("often")
def test_a_database_that_is_gone_stops_nothing_else(
    database: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    failed: list[bool] = []

    def take_away(context: GatewayContext) -> None:
        database.unlink()

        async def watch() -> None:
            await until(lambda: context.supervisor.health["imports"].failure)
            failed.append(True)

        context.supervisor.keep("of the test", watch)

    run(database, redis_url, redis_client, take_away)
    assert failed, "the database was looked for in vain"


@pytest.mark.usefixtures("often")
def test_a_database_that_hangs_stops_nothing_else(
    database: Path,
    redis_url: str,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every thread that may ask the database is busy doing so."""
    hanging = threading.Event()

    def take_away(context: GatewayContext) -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(context_module, "probe", lambda engine: hanging.wait())
        for _ in range(100):
            loop.run_in_executor(None, hanging.wait)

    run(database, redis_url, redis_client, take_away, hanging.set)
