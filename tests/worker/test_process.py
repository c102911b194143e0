"""Worker processes: what they say of themselves, and how politely they compute."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.database.engine import open_database
from shared.queue.heartbeat import Heartbeat
from shared.queue.jobs import enqueue_rankings
from shared.rankings.ranking import Ranking
from tests.conftest import Trained
from tests.processes import Command, wait_for
from tests.worker.conftest import Start
from worker.training.pipeline import train


def heartbeat_of(client: redis.Redis, worker: Command) -> Heartbeat | None:
    for key in client.scan_iter(keys.worker("*")):
        value = client.get(key)
        heartbeat = Heartbeat.model_validate_json(value) if value else None
        if heartbeat is not None and heartbeat.pid == worker.process.pid:
            return heartbeat
    return None


def serving(client: redis.Redis, worker: Command) -> Callable[[], Heartbeat | None]:
    def look() -> Heartbeat | None:
        heartbeat = heartbeat_of(client, worker)
        return heartbeat if heartbeat is not None and heartbeat.model_version else None

    return look


def ask(client: redis.Redis, job_id: str, queue: QueueName, ids: list[int]) -> None:
    deadline = time.time() + 60
    enqueue_rankings(client, RULES[Kind.SUGGESTED].job, ids, job_id=job_id, deadline=deadline, queue=queue)


def version(client: redis.Redis, user_id: int) -> str | None:
    packed = client.hget(*keys.ranking(Kind.SUGGESTED, user_id))
    ranking = Ranking.from_bytes(packed) if packed else None  # type: ignore[arg-type]
    return ranking.version if ranking else None


def test_a_worker_is_announced_when_it_comes_swaps_its_model_and_goes(
    redis_client: redis.Redis, start: Start, trained: Trained, tmp_path: Path
) -> None:
    own_dir = Path(shutil.copytree(trained.data_dir, tmp_path / "own"))
    with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.WORKERS_CHANNEL)
        pubsub.get_message(timeout=5)
        worker = start("serve", DATA_DIR=str(own_dir))
        came = wait_for(lambda: pubsub.get_message(timeout=1), "it comes")
        first = heartbeat_of(redis_client, worker)
        assert first is not None
        assert came["data"].decode() == first.worker_id
        assert first.model_version == trained.manifest.version
        engine = open_database(f"sqlite:///{own_dir / 'movierec.db'}")
        published = train(
            engine, ArtifactStore(own_dir / "model"), SvdConfig(n_epochs=1, n_factors=2), keep=5
        )
        engine.dispose()
        swapped = wait_for(lambda: pubsub.get_message(timeout=1), "it swaps")
        second = heartbeat_of(redis_client, worker)
        assert second is not None
        assert swapped["data"] == came["data"]
        assert second.model_version == published.version
        assert worker.stop() == 0
        gone = wait_for(lambda: pubsub.get_message(timeout=1), "it goes")
        assert gone["data"] == came["data"]
        assert heartbeat_of(redis_client, worker) is None
        assert pubsub.get_message(timeout=0.1) is None, "a heartbeat alone is no news"
    engine.dispose()


def test_a_worker_says_how_long_a_job_takes_it(redis_client: redis.Redis, start: Start) -> None:
    worker = start("serve")
    before = wait_for(serving(redis_client, worker), "it serves")
    assert before.job_seconds == 0
    ask(redis_client, "question", QueueName.SERVE, [1, 2])

    def measured() -> Heartbeat | None:
        found = heartbeat_of(redis_client, worker)
        return found if found is not None and found.job_seconds else None

    after = wait_for(measured, "it has measured")
    assert 0 < after.job_seconds < 5


@pytest.mark.parametrize(("queue", "niceness"), [("serve", 5), ("train", 10), ("warm", 15)])
def test_who_waits_for_an_answer_comes_first(
    redis_client: redis.Redis, start: Start, queue: str, niceness: int
) -> None:
    worker = start(queue)
    wait_for(lambda: heartbeat_of(redis_client, worker), "it lives")
    pid = worker.process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + niceness)


def test_a_warm_worker_answers_what_was_not_asked_yet(
    redis_client: redis.Redis, start: Start, trained: Trained
) -> None:
    worker = start("warm")
    wait_for(serving(redis_client, worker), "it holds the model")
    ask(redis_client, "warm", QueueName.WARM, [1, 2, 3])
    wait_for(lambda: version(redis_client, 3), "it has computed")
    assert {version(redis_client, user_id) for user_id in (1, 2, 3)} == {trained.manifest.version}


def test_a_worker_that_waits_for_a_model_can_be_stopped(start: Start, tmp_path: Path) -> None:
    worker = start("serve", MODEL_DIR=str(tmp_path / "none"))
    wait_for(lambda: "there is no model yet" in worker.output, "it waits")
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 5
