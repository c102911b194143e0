"""No background task ends silently: each is started again, and says so."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import background_tasks
from gateway.background_tasks import Supervisor
from shared.redis_server.server import RedisServer
from tests.conftest import Trained
from tests.processes import Command, Gateway, wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_PAUSES_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(background_tasks, "_STABLE_SECONDS", 0.05)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


ODD, AWAY = ValueError("odd"), RedisConnectionError("away")


@pytest.mark.parametrize(
    ("kind", "error"), [("keep", ODD), ("keep", AWAY), ("keep", None), ("every", ODD), ("every", AWAY)]
)
def test_a_task_that_fails_is_started_again(kind: str, error: Exception | None) -> None:
    """Without an error it ends by itself, which one that is kept must not."""
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs <= 3:
            if error is not None:
                raise error
            return
        if kind == "keep":
            await asyncio.sleep(60)

    async def run() -> None:
        supervisor = Supervisor()
        if kind == "keep":
            supervisor.keep("work", work)
        else:
            supervisor.every(0.001, "work", work)
        health = supervisor.health["work"]
        await until(lambda: health.failure is not None)
        assert health.failure
        await until(lambda: health.failure is None)
        assert (health.restarts, health.essential) == (3, True)
        await supervisor.stop()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(run())
    assert runs >= 4
    told = [(entry["event"], entry["task"]) for entry in logs]
    assert told == [("background task failed", "work"), ("background task works again", "work")]
    trace = logs[0]["exc_info"]
    assert trace is None if isinstance(error, RedisConnectionError) else isinstance(trace, Exception)


def test_all_tasks_end_with_it() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("work")
            raise

    async def run() -> None:
        supervisor = Supervisor()
        supervisor.keep("one", work)
        supervisor.every(0, "two", work, essential=False)
        await asyncio.sleep(0.05)
        await supervisor.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
    assert ended == ["work", "work"]


@pytest.mark.parametrize("errors", ["/dev/full", ""], ids=["full", "closed"])
def test_log_lines_that_cannot_be_written_end_nothing(trained: Trained, tmp_path: Path, errors: str) -> None:
    """Redis hangs, about which there is much to log."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": server.url}
    alive = str(tmp_path / "alive")
    with (
        Command("worker", log=tmp_path / "worker.log", errors=errors, HEARTBEAT_FILE=alive, **settings),
        Gateway(log=tmp_path / "gateway.log", errors=errors, **settings) as gateway,
    ):
        client = gateway.client
        gateway.wait_until_ready(1)
        assert client.get("/api/v1/users/2/suggested_movies").status_code == 200
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: client.get("/readyz").status_code == 503, "it is not ready")
            assert client.get("/api/v1/users/3/suggested_movies").status_code == 503
        finally:
            os.kill(server.pid, signal.SIGCONT)
        wait_for(lambda: client.get("/readyz").status_code == 200, "it is ready again")
        background = client.get("/readyz").json()["checks"]["background"]
        assert background["ok"], background
        path = "/api/v1/users/4/suggested_movies"
        wait_for(lambda: client.get(path).status_code == 200, "workers are asked again", 10)
    server.stop()
