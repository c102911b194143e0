"""A service under orders, for tests of losses."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.queue.connections import connect
from shared.queue.heartbeat import Heartbeat
from shared.rankings import claims
from shared.redis_server.server import RedisServer
from tests.processes import Command, Gateway, wait_for
from tests.system.conftest import Up
from tests.system.probes import ready, suggestions, waiting, wake
from tests.system.stages import Orders

TOKEN = "a-token-for-the-tests-only"

QUICK_TRAINING = {"algorithm": "svd", "parameters": {"n_epochs": 5}}
LONG_TRAINING = {"algorithm": "svd", "parameters": {"n_epochs": 300, "n_factors": 100}}

_LOOK_SECONDS = 15
"""RQ's workers look this often or oftener for what dead ones left, by their own clocks."""

_MOST_SECONDS = 300

T = TypeVar("T")


class Running:
    """A service under orders, on a Redis of ours that a test may stop.

    Parameters
    ----------
    client : httpx.Client
        To its gateway.
    data_dir : Path
        Its data.
    token : dict of str to str
        Header that writing needs.
    server : RedisServer
        Its Redis.
    orders : Orders
        To its processes.
    cache_url : str, optional
        Of the rankings, if they are elsewhere than the jobs.
    """

    def __init__(
        self,
        client: httpx.Client,
        data_dir: Path,
        token: dict[str, str],
        server: RedisServer,
        orders: Orders,
        cache_url: str | None = None,
    ) -> None:
        self.client = client
        self.data_dir = data_dir
        self.token = token
        self.server = server
        self.orders = orders
        self.redis = connect(server.url)
        self.cache = connect(cache_url or server.url)

    def close(self) -> None:
        """Close the connections of the test's own."""
        self.redis.close()
        self.cache.close()

    def suggest(self, user_id: int) -> httpx.Response:
        """Ask for suggestions."""
        return self.client.get(suggestions(user_id))

    def train(self, body: dict[str, Any] = QUICK_TRAINING) -> str:
        """Return the address of a training that was accepted."""
        accepted = self.client.post("/api/v1/models", json=body, headers=self.token)
        assert accepted.status_code == 202, accepted.text
        return accepted.headers["Location"]

    def wait_until_finished(self, job: str, seconds: float = 60) -> dict[str, Any]:
        """Return a job when it has ended, and well."""

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.get(job).json()
            assert found["state"] != "failed", found
            return found if found["state"] == "finished" else None

        return wait_for(ended, "the training is finished", seconds)

    def workers(self) -> dict[str, int]:
        """Return how many live workers serve which version."""
        models: list[dict[str, Any]] = self.client.get("/api/v1/models").json()["models"]
        return {model["version"]: model["workers"] for model in models if model["workers"]}

    def serving(self) -> set[int]:
        """Return the processes that say that they serve."""
        heartbeats = [self.redis.get(key) for key in self.redis.keys(keys.worker("*"))]
        found = [Heartbeat.model_validate_json(heartbeat) for heartbeat in heartbeats if heartbeat]
        return {beat.pid for beat in found if beat.queue is QueueName.SERVE and beat.model_version}

    def claims(self) -> set[bytes]:
        """Return the claims that are held."""
        found = (bytes(key) for key in self.redis.scan_iter("movierec:claim:*"))
        return {key for key in found if self.redis.get(key) not in {None, claims.SETTLED}}

    def computed(self) -> int:
        """Return how many rankings were ever computed."""
        return int(self.redis.hget(keys.COUNTERS, keys.Counter.COMPUTED) or 0)


class RunningUp(Running):
    """``movierec up``, and one more gateway that nothing happens to.

    Parameters
    ----------
    up : Up
        All processes but Redis.
    witness : Gateway
        The other gateway.
    server, orders, cache_url
        See :class:`Running`.
    """

    def __init__(
        self, up: Up, witness: Gateway, server: RedisServer, orders: Orders, cache_url: str | None = None
    ) -> None:
        super().__init__(up.client, up.data_dir, up.token(), server, orders, cache_url)
        self.up = up
        self.witness = witness

    def undisturbed(self, user_id: int) -> bytes:
        """Return what a gateway and workers answer that nothing happens to, computed anew."""
        self.cache.delete(keys.ranking(Kind.SUGGESTED, user_id)[0])
        answer = self.witness.client.get(suggestions(user_id))
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, "miss")
        return answer.content

    def wait_for_workers(self, number: int) -> None:
        """Return when so many workers serve; the heartbeat of a dead one is believed for two seconds more."""
        wait_for(
            lambda: len(pids := set(self.up.pids("--queue serve"))) == number and pids == self.serving(),
            f"{number} workers serve",
            30,
        )
        for client in (self.client, self.witness.client):
            wait_for(partial(ready, client, number), f"{number} workers serve", 30)


@contextmanager
def run_up(
    prepared: Path, directory: Path, *options: str, own_cache: bool = False, **environment: str
) -> Iterator[RunningUp]:
    """Run ``movierec up`` on a copy of prepared data, and stop it at the end.

    With ``own_cache``, rankings are in a database of their own, as in containers.
    """
    shutil.copytree(prepared, directory / "data")
    with ExitStack() as stack:
        server = RedisServer(directory / "redis")
        server.start()
        stack.callback(server.stop)
        orders = Orders(directory / "orders")
        environment = {"QUEUE_URL": server.url, **environment}
        if own_cache:
            environment["CACHE_URL"] = server.url.removesuffix("/0") + "/1"
        up = stack.enter_context(Up(directory, *options, **orders.environment, **environment))
        up.wait_until_up()
        environment["DATA_DIR"] = str(up.data_dir)
        witness = stack.enter_context(Gateway(log=directory / "witness.log", **environment))
        running = RunningUp(up, witness, server, orders, environment.get("CACHE_URL"))
        stack.callback(running.close)
        yield running


class RunningPieces(Running):
    """A gateway, one serving worker and a trainer, without ``up``: the test starts again what died.

    Parameters
    ----------
    directory : Path
        Of logs.
    gateway : Gateway
        Its gateway.
    environment : dict of str to str
        Of its processes.
    server, orders
        See :class:`Running`.
    """

    def __init__(
        self,
        directory: Path,
        gateway: Gateway,
        environment: dict[str, str],
        server: RedisServer,
        orders: Orders,
    ) -> None:
        token = {"Authorization": f"Bearer {TOKEN}"}
        super().__init__(gateway.client, Path(environment["DATA_DIR"]), token, server, orders)
        self.gateway = gateway
        self._directory = directory
        self._environment = environment
        self.worker = self._start("worker-1", "serve")
        self.trainer = self._start("trainer", "train")

    def start_trainer(self) -> None:
        """Start the next trainer."""
        assert self.trainer.process.wait(10) != 0
        self.trainer = self._start("trainer", "train")

    def _start(self, name: str, queue: str) -> Command:
        heartbeats = str(self._directory / f"{name}.alive")
        log = self._directory / f"{name}.log"
        return Command("worker", "--queue", queue, log=log, HEARTBEAT_FILE=heartbeats, **self._environment)

    def stop(self) -> None:
        """Stop the workers."""
        self.worker.stop()
        self.trainer.stop()
        self.close()


@contextmanager
def run_pieces(prepared: Path, directory: Path, **environment: str) -> Iterator[RunningPieces]:
    """Run the pieces on a copy of prepared data, and stop them at the end."""
    data_dir = Path(shutil.copytree(prepared, directory / "data", dirs_exist_ok=True))
    with ExitStack() as stack:
        server = RedisServer(directory / "redis")
        server.start()
        stack.callback(server.stop)
        orders = Orders(directory / "orders")
        environment = {
            "DATA_DIR": str(data_dir),
            "QUEUE_URL": server.url,
            "ADMIN_TOKEN": TOKEN,
            **orders.environment,
            **environment,
        }
        gateway = stack.enter_context(Gateway(log=directory / "gateway.log", **environment))
        running = RunningPieces(directory, gateway, environment, server, orders)
        stack.callback(running.stop)
        gateway.wait_until_ready(1)
        wait_for(lambda: len(waiting(running.redis)) == 2, "worker and trainer wait for jobs")
        yield running


class Watch:
    """Asks one user after the other, and notes whatever is no right answer."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._user = 0
        self._asked = 0.0
        self.wrong: list[str] = []

    def ask(self) -> None:
        """Ask for the next user, ten times a second at most."""
        if time.monotonic() - self._asked < 0.1:
            return
        self._asked = time.monotonic()
        self._user = self._user % 100 + 1
        answer = self._running.suggest(self._user)
        if answer.status_code != 200 or not answer.json()["suggested_movies"]:
            self.wrong.append(f"{answer.status_code} {answer.text[:200]}")

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Ask on and on until something is found, and return that."""

        def ask_and_look() -> T | None:
            self.ask()
            return look()

        return wait_for(ask_and_look, what)


def pass_time(running: Running, pid: int, done: Callable[[], bool], *, workers: int, ahead: int = 0) -> int:
    """Let time pass for a worker until something is done; return how much it was.

    It passes also for the lock that lets one worker at a time look for what the dead have left.

    Parameters
    ----------
    running : Running
        The service.
    pid : int
        The worker.
    done : callable
        Whether it is done.
    workers : int
        How many there are that live.
    ahead : int
        Seconds that it is ahead from the start.
    """
    with running.orders.later(pid) as later:
        for seconds in range(ahead, ahead + _MOST_SECONDS, _LOOK_SECONDS):
            later(seconds)
            for lock in running.redis.keys("rq:clean_registries:*"):
                left = running.redis.pttl(lock) - 1000 * _LOOK_SECONDS
                running.redis.pexpire(lock, max(left, 1))
            wake(running.redis)
            wait_for(lambda: done() or len(waiting(running.redis)) >= workers, "all have looked around")
            if done():
                return seconds
    raise AssertionError(f"not done {_MOST_SECONDS} s later, as the worker's clock has it")
