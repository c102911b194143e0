"""A trainer, or its child, that dies with an accepted training: it is run again, and nobody who asks notices.

Lost is the time that was worked, never the training. What may stay on disk is one version that was complete
when its process died, and drafts.
"""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.queue.jobs import fetch_job
from tests.processes import alive, wait_for
from tests.system.probes import ready
from tests.system.services import LONG_TRAINING, RunningPieces, Watch, pass_time, run_pieces
from tests.system.stages import TRAINER_DEQUEUED, TRAINER_LOOKS_AROUND, TRAINER_REGISTERED, TRAINING, Stage

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPieces]:
    with run_pieces(prepared, tmp_path_factory.mktemp("trainer")) as running:
        yield running


def tries_left(running: RunningPieces, job: str) -> int:
    """Return how often a training may still be tried again."""
    found = fetch_job(job.rpartition("/")[2], running.redis)
    assert found is not None, "the training is lost"
    return found.retries_left or 0


def dead(pid: int) -> bool:
    return not alive(pid)


def files(running: RunningPieces) -> set[str]:
    return {path.name for path in (running.data_dir / "model").iterdir()}


def check_nothing_is_lost(
    running: RunningPieces, job: str, watch: Watch, before: set[str], deaths: int = 0
) -> None:
    """The training ends well and its model is served; until then every question is answered."""

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = running.client.get(job).json()
        assert found["state"] != "failed", found
        return found if found["state"] == "finished" else None

    version = watch.until(ended, "the training is finished")["result"]["model_version"]
    wait_for(lambda: running.workers() == {version: 1}, "the new model is served")
    watch.ask()
    assert not watch.wrong
    assert (running.data_dir / "model" / "current").read_text(encoding="utf-8").strip() == version
    left = files(running) - before - {"current", version}
    assert sum(not name.startswith(".") for name in left) <= deaths, left


def test_a_trainers_child_killed_at_two_stages(running: RunningPieces) -> None:
    """Lost is what the children had done; their parent has the training run again at once, and once more.

    One dies before the version that it has written is pointed to, the other before RQ is told of the success.
    In the middle of a training: ``test_up.py``.
    """
    before, watch = files(running), Watch(running)
    trainer = running.trainer.process
    orders = running.orders
    with orders.die(TRAINING["renamed"]) as first, orders.die(TRAINING["published"]) as second:
        job = running.train()
        assert first.wait()["parent"] == second.wait()["parent"] == trainer.pid
        check_nothing_is_lost(running, job, watch, before, deaths=2)
    assert tries_left(running, job) == 0
    assert trainer.poll() is None


TRAINER_STAGES: dict[str, tuple[Stage, str]] = {
    "dequeued": (TRAINER_DEQUEUED, "self"),
    "registered": (TRAINER_REGISTERED, "parent"),
    **{name: (stage, "parent") for name, stage in TRAINING.items()},
}


@pytest.mark.parametrize(
    "stages", [["training"], ["dequeued", "published"], ["registered", "renamed"]], ids=", then ".join
)
def test_a_trainer_killed_at_any_stage(running: RunningPieces, stages: list[str]) -> None:
    """Lost are what was done and the minutes until RQ gives the dead trainer up; then it is run again.

    The minutes are not waited for: the clock of the next trainer is put forward.
    """
    before, watch = files(running), Watch(running)
    job, ahead = "", 0
    for number, stage in enumerate(stages, start=1):
        step, victim = TRAINER_STAGES[stage]
        with running.orders.die(step, victim=victim) as death:
            if job:
                # Two leases follow each other if it died after it had told RQ, and before its child had.
                ahead = time_until_tried_again(running, job)
                assert ahead <= (180 if stages[0] == "registered" else 120)
            else:
                job = running.train()
            note = death.wait()
            assert running.trainer.process.wait(5) == -signal.SIGKILL
            wait_for(partial(dead, note["pid"]), "its child is dead, too", 5)
        assert tries_left(running, job) == 3 - number
        running.start_trainer()
    assert time_until_tried_again(running, job, ahead) <= ahead + 120
    check_nothing_is_lost(running, job, watch, before, deaths=len(stages))


def time_until_tried_again(running: RunningPieces, job: str, ahead: int = 0) -> int:
    """Return by how much the trainer's clock is ahead when it queues a lost training again."""
    left = tries_left(running, job)
    trainer = running.trainer.process.pid
    return pass_time(running, trainer, lambda: tries_left(running, job) < left, workers=2, ahead=ahead)


def test_redis_restarted_while_a_training_runs(running: RunningPieces) -> None:
    """Lost may be what was done, if RQ cannot be told of it; the training itself is not."""
    before, watch = files(running), Watch(running)
    job = running.train(LONG_TRAINING)
    wait_for(lambda: running.client.get(job).json()["progress"], "the training has begun")
    running.server.stop()
    running.server.start()
    wait_for(lambda: ready(running.client, 1), "all is back")

    def done() -> bool:
        return tries_left(running, job) < 2 or running.client.get(job).json()["state"] == "finished"

    pass_time(running, running.trainer.process.pid, done, workers=2)
    check_nothing_is_lost(running, job, watch, before)


def test_drafts_of_the_dead_are_swept_a_day_later(running: RunningPieces) -> None:
    """Nothing is lost with what the tests above leave behind; it would only fill the disk."""
    models = running.data_dir / "model"
    drafts = {".20200101T000000Z-svd-000000.tmp", ".current.000000.tmp"}
    (models / min(drafts)).mkdir()
    (models / max(drafts)).write_text("20200101T000000Z-svd-000000\n", encoding="utf-8")
    yesterday = time.time() - 25 * 3600
    for name in drafts:
        os.utime(models / name, times=(yesterday, yesterday))
    running.wait_until_finished(running.train())
    assert not drafts & files(running)


def test_a_trainer_killed_while_it_looks_for_what_others_left(running: RunningPieces) -> None:
    """Lost is time only, not more of it than with any other death."""
    before, watch = files(running), Watch(running)
    with running.orders.die(TRAINER_DEQUEUED), running.orders.die(TRAINER_LOOKS_AROUND) as death:
        job = running.train()
        running.start_trainer()
        assert death.wait()["pid"] == running.trainer.process.pid
    running.start_trainer()
    try:
        assert time_until_tried_again(running, job) <= 180
        check_nothing_is_lost(running, job, watch, before)
    finally:
        running.redis.delete("rq:clean_registries:train")
