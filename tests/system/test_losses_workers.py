"""Serving workers that die with a question in their hands.

What is lost with a worker is a second of whoever asked, and the note that its job succeeded. No question is
lost, and none is answered wrongly.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from rq.registry import FailedJobRegistry

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.queue.jobs import open_queue
from shared.rankings import claims
from tests.processes import wait_for
from tests.system.probes import WAIT_BUDGET_SECONDS, frozen, suggestions, timed
from tests.system.services import RunningUp, pass_time, run_up
from tests.system.stages import ANSWERS_13, SERVING

pytestmark = pytest.mark.system

_MOST_TRIES = 2
_WORKERS = 3
"""So that one is left for the others of a batch when two have died of it."""

_PROCESSES = _WORKERS + 2
"""That wait for jobs: also the warmer and the trainer."""


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    with run_up(prepared, tmp_path_factory.mktemp("workers"), "--workers", str(_WORKERS)) as running:
        yield running


def leftovers(running: RunningUp) -> set[str]:
    """Return the jobs that RQ takes for started, or for being started."""
    started = running.redis.zrange("rq:wip:serve", 0, -1)
    taken = running.redis.lrange("rq:queue:serve:intermediate", 0, -1)
    return {entry.decode().partition(":")[0] for entry in [*started, *taken]}


# The first test, since `up` starts a worker again at once only if it has not died often.
def test_a_question_that_kills_whoever_takes_it(running: RunningUp) -> None:
    """Lost is the answer to that question, and its client is told; the others of its batch are answered.

    It costs two workers, which are started again, and is not asked a third time.
    """
    first, rest = range(60, 66), [*range(66, 80), 13, *range(80, 99)]
    failed = FailedJobRegistry(queue=open_queue(QueueName.SERVE, running.redis))
    host, port = running.client.base_url.host, running.client.base_url.port
    asked: dict[int, HTTPConnection] = {}

    with running.orders.die(ANSWERS_13, every_time=True) as death, ExitStack() as connections:

        def ask(users: Sequence[int]) -> None:
            for user_id in users:
                asked[user_id] = connections.enter_context(closing(HTTPConnection(host, port, timeout=30)))
                asked[user_id].connect()
            for user_id in users:  # all at the same moment
                asked[user_id].request("GET", suggestions(user_id))
            wait_for(lambda: len(running.claims()) == len(asked), "all have asked")

        # While all workers are busy, as it seems, questions gather and share a job.
        with frozen(running.up.pids("--queue serve"), running.redis):
            for user_id in first:
                ask([user_id])
            began = time.monotonic()
            ask(rest)
        answers = {user_id: connection.getresponse() for user_id, connection in asked.items()}
        assert time.monotonic() - began < WAIT_BUDGET_SECONDS + 1
        poisoned = answers.pop(13)
        assert {answer.status for answer in answers.values()} == {200}
        assert poisoned.status == 503
        assert json.load(poisoned)["type"] == "urn:movierec:problem:computation-failed"
        assert poisoned.headers["Retry-After"]

        company, alone = (note["step"].count("movierec:user:") for note in death.notes)
        assert company > 1
        assert alone == 1
        running.wait_for_workers(_WORKERS)
        assert running.suggest(13).status_code == 503
        pids = running.up.pids("--queue serve")
        seconds = pass_time(running, pids[0], lambda: len(failed) == _MOST_TRIES, workers=_PROCESSES)
        assert seconds <= 60
        assert not leftovers(running)
        assert not running.redis.exists("rq:queue:serve")
        assert len(death.notes) == _MOST_TRIES
    assert running.up.output.count("starting it again") == _MOST_TRIES

    running.redis.delete(keys.claim(Kind.SUGGESTED, 13))  # which keeps it away for a minute
    assert running.suggest(13).content == running.undisturbed(13)


@pytest.mark.parametrize("stage", SERVING)
def test_a_worker_killed_at_any_stage_of_a_question(running: RunningUp, stage: str) -> None:
    """Lost is about a second: whoever asked gets the very answer that nothing had happened to.

    A claim may stay for as long as it lives, ten seconds, and holds nobody up. RQ takes the job for started
    until its lease ends, and minutes later for no more; that harms nobody either.
    """
    running.wait_for_workers(_WORKERS)
    user_id = 50 + list(SERVING).index(stage)
    with running.orders.die(SERVING[stage]) as death:
        seconds, answer = timed(running.client, suggestions(user_id))
        victim = death.wait()["pid"]
    survivor = min(running.serving() - {victim})
    assert answer.status_code == 200, answer.text
    assert seconds < WAIT_BUDGET_SECONDS
    left = running.redis.pttl(keys.claim(Kind.SUGGESTED, user_id))
    assert left == -2 or 0 <= left <= 1000 * claims.CLAIM_TTL.total_seconds()  # it is gone, or will be
    assert answer.content == running.undisturbed(user_id)
    assert leftovers(running)
    pass_time(running, survivor, lambda: not leftovers(running), workers=_PROCESSES - 1)
