"""Gateways that die, and clocks that jump."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from shared.contract import keys
from shared.contract.kinds import Kind
from tests.processes import wait_for
from tests.system.probes import WAIT_BUDGET_SECONDS, frozen, suggestions, timed
from tests.system.services import LONG_TRAINING, RunningUp, run_up

pytestmark = pytest.mark.system

HOUR = 3600.0


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    with run_up(prepared, tmp_path_factory.mktemp("losses"), "--workers", "1") as running:
        yield running


def ask(running: RunningUp, user_id: int) -> httpx.Response | httpx.TransportError:
    """Return the answer of the gateway that may die, or how the connection ended."""
    try:
        return httpx.get(f"{running.client.base_url}{suggestions(user_id)}", timeout=30)
    except httpx.TransportError as error:
        return error


def wait_for_gateway(running: RunningUp, killed: int) -> None:
    """Return when ``up`` has started the gateway again, at the same address."""
    wait_for(lambda: set(running.up.pids("gateway")) - {killed}, "the gateway is started again")
    wait_for(lambda: isinstance(ask(running, 1), httpx.Response), "the gateway answers")
    running.wait_for_workers(1)


def test_a_gateway_killed_with_questions_under_way(running: RunningUp) -> None:
    """Lost are its connections. What was asked is computed once, for another gateway and the next one."""
    (gateway,) = running.up.pids("gateway")
    computed = running.computed()
    with ThreadPoolExecutor(3) as pool:
        with frozen(running.up.pids("--queue serve"), running.redis):
            lost = [pool.submit(ask, running, user_id) for user_id in (21, 22)]
            claims = {keys.claim(Kind.SUGGESTED, user_id).encode() for user_id in (21, 22)}
            wait_for(lambda: running.claims() == claims and running.redis.exists("rq:queue:serve"), "queued")
            kept = pool.submit(timed, running.witness.client, suggestions(21))
            os.kill(gateway, signal.SIGKILL)
            assert all(isinstance(future.result(), httpx.TransportError) for future in lost)
        seconds, answer = kept.result()
    assert answer.status_code == 200
    assert seconds < WAIT_BUDGET_SECONDS
    wait_for_gateway(running, gateway)
    for user_id in (21, 22):
        again = running.suggest(user_id)
        assert (again.status_code, again.headers["X-Cache"]) == (200, "hit")
    assert running.computed() == computed + 2 + 1  # user 1 was asked for to see whether the gateway answers
    assert not running.claims()
    assert not running.redis.exists("rq:queue:serve")
    assert running.suggest(21).content == answer.content
    assert running.suggest(22).content == running.undisturbed(22)


@pytest.mark.parametrize(
    ("process", "hours", "users"),
    [
        pytest.param("--queue serve", 1, range(30, 35), id="a worker's, forward"),
        pytest.param("--queue serve", -1, range(35, 40), id="a worker's, back"),
        pytest.param("gateway", 1, range(40, 45), id="a gateway's, forward"),
        pytest.param("gateway", -1, range(45, 50), id="a gateway's, back"),
    ],
)
def test_a_clock_that_jumps(running: RunningUp, process: str, hours: int, users: range) -> None:
    """Nothing is lost: questions are answered, also after the clock is right again."""
    before, *meanwhile, after = users
    (pid,) = running.up.pids(process)
    assert running.suggest(before).status_code == 200
    with running.orders.clock(pid, hours * HOUR):
        for user_id in meanwhile:
            seconds, answer = timed(running.client, suggestions(user_id))
            assert answer.status_code == 200, f"after {seconds:.1f} s: {answer.text}"
            assert seconds < WAIT_BUDGET_SECONDS
        assert running.client.get("/readyz").status_code == 200
    assert running.suggest(after).status_code == 200
    assert running.up.pids(process) == [pid]


def test_a_trainers_clock_that_jumps(running: RunningUp) -> None:
    """Nothing is lost: a training is run and ends well, whether the clock jumps forward or back meanwhile."""
    (trainer,) = running.up.pids("--queue train")
    job = running.train(LONG_TRAINING)
    wait_for(lambda: running.client.get(job).json()["progress"], "the training has begun")
    with running.orders.clock(trainer, HOUR):
        running.wait_until_finished(job)
        job = running.train(LONG_TRAINING)
        wait_for(lambda: running.client.get(job).json()["progress"], "the training has begun")
    running.wait_until_finished(job)
    assert running.up.pids("--queue train") == [trainer]
