"""The processes of a measurement on loopback; all of them are stopped at the end."""

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from benchmarks.load.contract import HOST, Load
from benchmarks.load.generator import run_load
from benchmarks.serving.baselines import Baseline
from benchmarks.serving.client import Reply, answers, get, suggestions, wait_for
from benchmarks.serving.data import environment
from shared.contract import keys
from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import RULES, Kind
from shared.errors import ServiceError
from shared.processes.children import Child, free_port, python_command, stop_process, tail
from shared.processes.parent import die_with_parent
from shared.queue.connections import connect
from shared.queue.jobs import enqueue_rankings
from shared.redis_server.server import RedisServer

WAIT_BUDGET_SECONDS = 5
_START_SECONDS = 60.0
_COMPUTE_SECONDS = 300.0
_WARM_UP_CONNECTIONS = 64


class Stack:
    """Redis, workers and a gateway on a prepared data directory.

    Rankings have a Redis database of their own, so that they can be deleted at once; so have RQ's own jobs,
    which are measured for comparison.

    Parameters
    ----------
    data_dir : Path
        Directory from :func:`benchmarks.serving.data.prepare`; logs of the latest stack stay in its ``run``.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._logs = data_dir / "run"
        shutil.rmtree(self._logs, ignore_errors=True)
        self.redis_server = RedisServer(self._logs / "redis")
        self._workers: list[Child] = []
        self._gateway: Child | None = None
        self._baselines: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> Self:
        self.redis_server.start()
        self.queue = connect(self.redis_url(0))
        self.cache = connect(self.redis_url(1))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_gateway()
        for child in self._workers:
            child.ask_to_stop()
        for child in self._workers:
            child.stop()
        for process in self._baselines:
            stop_process(process)
        for client in (self.queue, self.cache):
            client.close()
        self.redis_server.stop()
        shutil.rmtree(self.redis_server.directory, ignore_errors=True)  # a hundred megabytes; logs stay

    def redis_url(self, database: int) -> str:
        """Return the URL of one of Redis' databases."""
        return f"{self.redis_server.url.removesuffix('/0')}/{database}"

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
        return [child.process.pid for child in self._workers if child.process]

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the service, by name."""
        found = {f"worker {number}": pid for number, pid in enumerate(self.worker_pids, start=1)}
        if self._gateway is not None and self._gateway.process is not None:
            found["gateway"] = self._gateway.process.pid
        if self.redis_server.pid is not None:
            found["Redis"] = self.redis_server.pid
        return found

    def scale(self, n_workers: int) -> None:
        """Start or stop workers, and the gateway if there is none, and wait until all are ready.

        Raises
        ------
        ServiceError
            If something does not start.
        """
        surplus, self._workers = self._workers[n_workers:], self._workers[:n_workers]
        for child in surplus:
            child.ask_to_stop()
        for child in surplus:
            child.stop()
        while len(self._workers) < n_workers:
            name = f"worker-{uuid.uuid4().hex[:6]}"
            extra = {"HEARTBEAT_FILE": str(self._logs / f"{name}.alive")}
            child = Child(name, ["worker"], self._environment | extra, self._logs)
            child.start()
            self._workers.append(child)
        if self._gateway is None:
            self._start_gateway()
        self._wait_until_ready()

    def restart_gateway(self, **settings: str) -> None:
        """Start a gateway anew, with an empty answer cache, and with other settings if any are given."""
        self.stop_gateway()
        self._start_gateway(settings)
        self._wait_until_ready()

    def stop_gateway(self) -> None:
        """Stop the gateway, if there is one."""
        if self._gateway is not None:
            self._gateway.stop()
            self._gateway = None

    def forget(self, warm_up: Sequence[int]) -> None:
        """Delete all rankings, in Redis and in the gateway, and let a new gateway answer for some users.

        Parameters
        ----------
        warm_up : sequence of int
            Users that are not requested again: the first requests of a process are slower.
        """
        self.stop_gateway()
        self.cache.flushdb()
        self._start_gateway()
        self._wait_until_ready()
        self.ask_once(warm_up)

    def ask_once(self, user_ids: Sequence[int]) -> None:
        """Request the suggestions of users over HTTP, without measuring."""
        paths = [suggestions(user_id) for user_id in user_ids]
        run_load(Load(self.port, paths, 60, _WARM_UP_CONNECTIONS, order="once"))

    def compute(self, user_ids: Sequence[int]) -> float:
        """Have workers compute rankings in full batches, without a gateway; return the seconds it took.

        Raises
        ------
        ServiceError
            If they are not computed in time.
        """
        wanted = self.count(keys.Counter.COMPUTED) + len(user_ids)
        started = time.perf_counter()
        deadline = time.time() + _COMPUTE_SECONDS
        for start in range(0, len(user_ids), BATCH_LIMIT):
            ids = user_ids[start : start + BATCH_LIMIT]
            job = RULES[Kind.SUGGESTED].job
            enqueue_rankings(self.queue, job, ids, job_id=uuid.uuid4().hex, deadline=deadline)
        wait_for(
            lambda: self.count(keys.Counter.COMPUTED) >= wanted,
            "the workers have computed all rankings",
            _COMPUTE_SECONDS,
        )
        return time.perf_counter() - started

    def lone_ranking(self, user_id: int) -> float:
        """Have one ranking computed without a gateway; return the seconds until it arrived.

        Raises
        ------
        ServiceError
            If no worker computes it.
        """
        with self.queue.pubsub(ignore_subscribe_messages=True) as news:  # type: ignore[no-untyped-call]
            news.subscribe(keys.ANSWERS_CHANNEL)
            news.get_message(timeout=1)  # the subscription itself
            started = time.perf_counter()
            enqueue_rankings(
                self.queue,
                RULES[Kind.SUGGESTED].job,
                [user_id],
                job_id=uuid.uuid4().hex,
                deadline=time.time() + _COMPUTE_SECONDS,
            )
            if news.get_message(timeout=_START_SECONDS) is None:
                raise ServiceError(f"No worker ranked anything for user {user_id}.")
            ranking = self.cache.hget(*keys.ranking(Kind.SUGGESTED, user_id))
            seconds = time.perf_counter() - started
        if ranking is None:
            raise ServiceError(f"There is no ranking for user {user_id}.")
        return seconds

    def count(self, counter: keys.Counter) -> int:
        """Return the value of one of the workers' counters."""
        return int(self.queue.hget(keys.COUNTERS, counter.value) or 0)

    def get(self, path: str) -> Reply:
        """Send the gateway one request."""
        return get(self.port, path)

    def start_baseline(self, baseline: Baseline) -> int:
        """Start a baseline, wait until it listens if it has a port, and return its process id.

        Raises
        ------
        ServiceError
            If it does not start.
        """
        log = self._logs / f"{baseline.side}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                python_command("benchmarks.serving.baselines"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        self._baselines.append(process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(baseline)).encode())
        process.stdin.close()
        if baseline.port:
            wait_for(
                lambda: answers(baseline.port, "/"),
                f"the baseline {baseline.side} answers",
                _START_SECONDS,
                lambda: tail(log) if process.poll() is not None else None,
            )
        return process.pid

    @property
    def _environment(self) -> dict[str, str]:
        return environment(self.data_dir) | {
            "QUEUE_URL": self.redis_url(0),
            "CACHE_URL": self.redis_url(1),
            "WAIT_BUDGET": str(WAIT_BUDGET_SECONDS),
        }

    def _start_gateway(self, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.port = free_port()
        self._gateway = Child(
            "gateway",
            ["gateway", f"--host={HOST}", f"--port={self.port}"],
            {**self._environment, **settings},
            self._logs,
        )
        self._gateway.start()

    def _wait_until_ready(self) -> None:
        def ready() -> bool:
            if not answers(self.port, "/livez"):
                return False
            reply = self.get("/api/v1/models/current")
            return reply.status == 200 and json.loads(reply.body)["workers"] == len(self._workers)

        def dead() -> str | None:
            children = [*self._workers, *([self._gateway] if self._gateway else [])]
            return next((tail(child.log) for child in children if child.exit_code is not None), None)

        what = f"a gateway and {len(self._workers)} workers are ready"
        wait_for(ready, what, _START_SECONDS, dead)
