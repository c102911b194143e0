"""What is lost where rankings and jobs are in two databases, as in containers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.contract import keys
from shared.contract.kinds import Kind
from tests.system.probes import WAIT_BUDGET_SECONDS, suggestions, timed
from tests.system.services import RunningUp, run_up
from tests.system.stages import SERVING

pytestmark = pytest.mark.system

STAGES = {"computed": 1, "written to the cache": 0}
"""And how many rankings are computed after the death."""


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    with run_up(prepared, tmp_path_factory.mktemp("cache"), "--workers", "2", own_cache=True) as running:
        yield running


@pytest.mark.parametrize(("stage", "computed"), STAGES.items())
def test_a_worker_killed_between_cache_and_queue(running: RunningUp, stage: str, computed: int) -> None:
    """Lost is about a second; what is in the cache already is not computed again."""
    running.wait_for_workers(2)
    user_id = 50 + computed
    before = running.computed()
    with running.orders.die(SERVING[stage]) as death:
        seconds, answer = timed(running.client, suggestions(user_id))
        death.wait()
    assert answer.status_code == 200, answer.text
    assert seconds < WAIT_BUDGET_SECONDS
    assert running.computed() == before + computed
    assert running.cache.exists(keys.ranking(Kind.SUGGESTED, user_id)[0])
    assert not running.redis.exists(keys.ranking(Kind.SUGGESTED, user_id)[0])
    assert answer.content == running.undisturbed(user_id)
