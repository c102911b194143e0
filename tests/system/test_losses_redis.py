"""Redis restarted, killed, and away for half a minute."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.queue.connections import connect
from shared.redis_server.server import RedisServer
from tests.processes import wait_for
from tests.system.conftest import Up
from tests.system.probes import WAIT_BUDGET_SECONDS, answers, flushed, frozen, suggestions, timed
from tests.system.services import QUICK_TRAINING, RunningPieces, run_pieces

pytestmark = pytest.mark.system


@pytest.fixture
def up(lasting_up: Up) -> Up:
    return lasting_up


def contents(client: redis.Redis, *patterns: str) -> dict[bytes, Any]:
    """Return what keys hold."""
    readers: dict[bytes | str, Callable[[bytes], Any]] = {
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"string": client.get,
    }
    names = {key for pattern in patterns for key in client.scan_iter(pattern)}
    return {key: readers[client.type(key)](key) for key in names}


@pytest.mark.parametrize(
    ("number", "users"),
    [(signal.SIGTERM, range(31, 36)), (signal.SIGKILL, range(36, 41))],
    ids=["stop", "kill"],
)
def test_redis_restarted_with_questions_and_a_training_queued(
    up: Up, number: signal.Signals, users: range
) -> None:
    """Nothing is lost by a clean end, nor by a kill of what had reached the operating system.

    That is written to the file before Redis answers, but for moments in which the disk is slow: the last
    second or two may be lost then, which this test waits for.
    """
    first, *others = users
    assert up.client.get(suggestions(first)).status_code == 200
    (server,) = up.redis_pids()
    workers = up.pids("--queue")
    others_alive = set(up.children()) - {server}
    with ExitStack() as stack:
        client = stack.enter_context(
            connect((up.data_dir / "redis" / "url").read_text(encoding="utf-8").strip())
        )
        pool = stack.enter_context(ThreadPoolExecutor(len(others)))
        with frozen(workers, client):
            accepted = up.client.post("/api/v1/models", json=QUICK_TRAINING, headers=up.token())
            assert accepted.status_code == 202
            asked = [pool.submit(timed, up.client, suggestions(user_id)) for user_id in others]
            claims = {keys.claim(Kind.SUGGESTED, user_id).encode() for user_id in others}
            wait_for(lambda: set(client.keys("movierec:claim:*")) == claims, "all have asked")
            wait_for(lambda: client.exists("rq:queue:serve", "rq:queue:train") == 2, "all is queued")
            wait_for(lambda: flushed(client), "all is written")
            patterns = ("rq:queue:*", "rq:job:*", "movierec:user:*", keys.TRAINING)
            before = contents(client, *patterns)
            os.kill(server, number)
            wait_for(lambda: set(up.redis_pids()) - {server} and answers(client), "Redis is back")
            after = contents(client, *patterns)
            # The gateway may have asked again meanwhile, so the queue may be longer.
            queues = {key for key in before if key.startswith(b"rq:queue:")}
            assert all(set(before[key]) <= set(after[key]) for key in queues)
            assert {key: after.get(key) for key in before if key not in queues} == {
                key: value for key, value in before.items() if key not in queues
            }
        for future in asked:
            seconds, answer = future.result()
            assert answer.status_code == 200, answer.text
            assert seconds < WAIT_BUDGET_SECONDS

        def finished() -> bool:
            state: str = up.client.get(accepted.headers["Location"]).json()["state"]
            assert state != "failed"
            return state == "finished"

        wait_for(finished, "the training is finished")
        assert others_alive <= set(up.children())
        assert up.client.get(suggestions(first)).status_code == 200


OUTAGE_SECONDS = 30.0
OUTAGES = ["stopped", "standing still"]


@dataclass
class Request:
    """A request that was sent while Redis was away.

    Attributes
    ----------
    what : str
        Which.
    seconds : float
        How long it took.
    answer : httpx.Response
        How it was answered.
    in_time : bool
        Whether before Redis was back.
    """

    what: str
    seconds: float
    answer: httpx.Response
    in_time: bool


@dataclass
class Outage:
    """What happened in a service whose Redis was away.

    Attributes
    ----------
    running : RunningPieces
        The service.
    job : str
        Training that was accepted before.
    requests : list of Request
        All that were sent meanwhile.
    recovered_seconds : float
        Time from the return of Redis to the first new answer.
    """

    running: RunningPieces
    job: str
    requests: list[Request] = field(default_factory=list)
    recovered_seconds: float = 0.0


def keep_asking(outage: Outage, what: str, until: float) -> None:
    """Send a kind of request five times a second; one that hangs is noted, too."""
    running, number = outage.running, 0
    paths = {
        "kept": suggestions(1),
        "new": suggestions(2),
        "similar": "/api/v1/movies/2/most_similar_movies",
        "movie": "/api/v1/movies/1",
        "user": "/api/v1/users/1",
        "alive": "/livez",
        "job": outage.job,
        "train": "/api/v1/models",
    }
    with httpx.Client(base_url=running.client.base_url, timeout=60, trust_env=False) as client:
        while time.monotonic() < until:
            number += 1
            path = suggestions(number % 90 + 2) if what == "new" else paths[what]
            method = "POST" if what == "train" else "GET"
            body = QUICK_TRAINING if what == "train" else None
            started = time.monotonic()
            answer = client.request(method, path, json=body, headers=running.token)
            seconds = time.monotonic() - started
            outage.requests.append(Request(what, seconds, answer, time.monotonic() < until))
            time.sleep(max(0.0, 0.2 - seconds))


def is_answered(running: RunningPieces, user_id: int) -> bool:
    return running.suggest(user_id).status_code == 200


def pid_of(server: RedisServer) -> int:
    assert server.pid is not None, "it runs"
    return server.pid


ASKED = ("kept", "new", "similar", "movie", "user", "alive", "job", "train")


@pytest.fixture(scope="module")
def outages(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outage]]:
    """Both outages at the same time, in two services: it is half a minute each."""
    with ExitStack() as stack:
        found = {}
        for name in OUTAGES:
            directory = tmp_path_factory.mktemp("outage")
            running = stack.enter_context(run_pieces(prepared, directory))
            assert running.suggest(1).status_code == 200
            with frozen([running.trainer.process.pid], running.redis):
                found[name] = Outage(running, running.train())
                assert running.redis.exists("rq:queue:train")
                if name == "stopped":
                    running.server.stop()
                else:
                    os.kill(pid_of(running.server), signal.SIGSTOP)
                    stack.callback(os.kill, pid_of(running.server), signal.SIGCONT)
        until = time.monotonic() + OUTAGE_SECONDS
        with ThreadPoolExecutor(len(OUTAGES) * len(ASKED)) as pool:
            asking: list[Future[None]] = [
                pool.submit(keep_asking, outage, what, until) for outage in found.values() for what in ASKED
            ]
            time.sleep(OUTAGE_SECONDS)
            for name, outage in found.items():
                if name == "stopped":
                    outage.running.server.start()
                else:
                    os.kill(pid_of(outage.running.server), signal.SIGCONT)
            returned = time.monotonic()
            for future in asking:
                future.result()
        for outage in found.values():
            running = outage.running
            wait_for(partial(is_answered, running, 95), "answers come again")
            outage.recovered_seconds = time.monotonic() - returned
        yield found


@pytest.mark.parametrize("name", OUTAGES)
def test_while_redis_is_away_every_request_is_answered(outages: dict[str, Outage], name: str) -> None:
    """Lost are answers that nobody has kept, and each client is told so in time."""
    expected = {what: 200 if what in {"kept", "movie", "user", "alive"} else 503 for what in ASKED}
    in_time = [request for request in outages[name].requests if request.in_time]
    assert {request.what for request in in_time} == set(ASKED)
    for request in in_time:
        assert request.answer.status_code == expected[request.what], request
    for request in outages[name].requests:
        assert request.seconds < WAIT_BUDGET_SECONDS + 0.5, request
        if request.answer.status_code == 503:
            assert request.answer.headers["Retry-After"]


@pytest.mark.parametrize("name", OUTAGES)
def test_when_redis_is_back_all_works_and_no_training_is_lost(outages: dict[str, Outage], name: str) -> None:
    """Nothing is lost: the training that was accepted before is run; no process had to be started again."""
    outage = outages[name]
    running = outage.running
    assert outage.recovered_seconds < 10
    running.wait_until_finished(outage.job)
    for process in (running.worker.process, running.trainer.process, running.gateway.process):
        assert process.poll() is None
