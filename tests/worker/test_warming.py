"""Answers before they are asked for: warm jobs, and warming in bulk."""

import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq.job import JobStatus
from sqlalchemy import Engine, insert

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.database.engine import open_database
from shared.database.schema import imports
from shared.errors import ArtifactError, ServiceError
from shared.progress import Step
from shared.queue.jobs import MovierecJob, enqueue_rankings, fetch_job, open_queue
from shared.rankings.changes import announce_changes
from shared.rankings.ranking import Ranking
from shared.settings import WorkerSettings, load
from tests.conftest import Trained, rank
from tests.worker.conftest import run_jobs
from worker import warming
from worker.jobs.context import ServingContext
from worker.rankings import compute_rankings, stale
from worker.serving import Serving
from worker.training.pipeline import train
from worker.warming import Scope, run_warming, warm


class Warmer:
    """Runs jobs of the warm queue in this process."""

    def __init__(self, client: redis.Redis, serving: Serving) -> None:
        self.client = client
        self.context = ServingContext(serving, client, client)

    def __call__(self, kind: Kind, ids: list[int], seconds: float = 60) -> MovierecJob:
        job_id = uuid.uuid4().hex
        deadline = time.time() + seconds
        enqueue_rankings(
            self.client, RULES[kind].job, ids, job_id=job_id, deadline=deadline, queue=QueueName.WARM
        )
        run_jobs(self.context, QueueName.WARM)
        job = fetch_job(job_id, self.client)
        assert job is not None
        return job


@pytest.fixture
def warmer(redis_client: redis.Redis, context: ServingContext) -> Warmer:
    return Warmer(redis_client, context.serving)


@pytest.fixture
def own_dir(trained: Trained, tmp_path: Path) -> Path:
    """Return a copy of database and models that a test may change."""
    return Path(shutil.copytree(trained.data_dir, tmp_path / "own"))


@pytest.fixture
def own_engine(own_dir: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{own_dir / 'movierec.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def own_serving(own_dir: Path, own_engine: Engine) -> Serving:
    serving = Serving(ArtifactStore(own_dir / "model"), own_engine)
    serving.refresh()
    return serving


def stored(client: redis.Redis, kind: Kind, subject: int) -> bytes | None:
    packed = client.hget(*keys.ranking(kind, subject))
    assert packed is None or isinstance(packed, bytes)
    return packed


def version_of(packed: bytes | None) -> str:
    ranking = Ranking.from_bytes(packed or b"")
    assert ranking is not None
    return ranking.version


# Warm jobs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_a_warm_job_computes_what_is_not_there_and_tells_of_it(
    warmer: Warmer, serving: Serving, kind: Kind
) -> None:
    client = warmer.client
    compute_rankings(serving, client, [Question(kind, 1)])
    client.set(keys.claim(kind, 2), "x")
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.ANSWERS_CHANNEL)
        pubsub.get_message(timeout=5)
        job = warmer(kind, [1, 2, 3])
        message = pubsub.get_message(timeout=5)
    assert job.return_value() == {"computed": 2, "expired": 0, "shed": 0}
    assert message is not None
    assert News.from_text(message["data"].decode()) == News(RankingEvent.WRITTEN, kind, [2, 3])
    for subject in (1, 2, 3):
        assert stored(client, kind, subject) == rank(serving, kind, [subject])[0].to_bytes()
    assert client.get(keys.claim(kind, 2)) == b"x", "a claim is a user's question"
    assert client.hgetall(keys.COUNTERS) == {b"computed": b"2"}
    assert warmer(kind, [3, 2, 1]).return_value() == {"computed": 0, "expired": 0, "shed": 0}


@pytest.mark.parametrize(
    ("waiting", "workers", "shed"), [(0, 1, False), (2, 1, False), (3, 1, True), (4, 2, False), (3, 0, True)]
)
def test_warm_jobs_are_dropped_while_users_wait(
    warmer: Warmer, waiting: int, workers: int, shed: bool
) -> None:
    client = warmer.client
    for number in range(workers):
        client.sadd(keys.workers(QueueName.SERVE), f"worker-{number}")
    for number in range(waiting):
        job_id = f"question-{number}"
        deadline = time.time() + 60
        enqueue_rankings(client, RULES[Kind.SUGGESTED].job, [1], job_id=job_id, deadline=deadline)
    job = warmer(Kind.SUGGESTED, [1, 2])
    if shed:
        assert job.return_value() == {"computed": 0, "expired": 0, "shed": 2}
        assert client.hgetall(keys.COUNTERS) == {b"shed": b"2"}
        assert stored(client, Kind.SUGGESTED, 1) is None
    else:
        assert job.return_value() == {"computed": 2, "expired": 0, "shed": 0}
    assert len(open_queue(QueueName.SERVE, client)) == waiting


def test_a_warm_job_that_is_late_is_skipped(warmer: Warmer) -> None:
    job = warmer(Kind.SUGGESTED, [1, 2], seconds=-1)
    assert job.return_value() == {"computed": 0, "expired": 2, "shed": 0}
    assert warmer.client.hgetall(keys.COUNTERS) == {b"expired": b"2"}
    assert stored(warmer.client, Kind.SUGGESTED, 1) is None


def test_a_warm_job_uses_the_newest_model(
    redis_client: redis.Redis,
    context: ServingContext,
    own_dir: Path,
    own_engine: Engine,
    own_serving: Serving,
) -> None:
    warmer = Warmer(redis_client, own_serving)
    warmer(Kind.SUGGESTED, [1])
    before = version_of(stored(redis_client, Kind.SUGGESTED, 1))
    published = train(
        own_engine, ArtifactStore(own_dir / "model"), SvdConfig(n_epochs=1, n_factors=2), keep=5
    )
    assert warmer(Kind.SUGGESTED, [1]).return_value() == {"computed": 1, "expired": 0, "shed": 0}
    assert version_of(stored(redis_client, Kind.SUGGESTED, 1)) == published.version != before


def test_nobody_is_told_of_a_failure_that_nobody_waits_for(
    redis_client: redis.Redis, context: ServingContext, trained: Trained, tmp_path: Path
) -> None:
    warmer = Warmer(redis_client, Serving(ArtifactStore(tmp_path / "none"), trained.engine))
    with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.ANSWERS_CHANNEL)
        pubsub.get_message(timeout=5)
        job = warmer(Kind.SUGGESTED, [1])
        redis_client.publish(keys.ANSWERS_CHANNEL, "the end")
        message = pubsub.get_message(timeout=5)
    assert job.get_status() == JobStatus.FAILED
    assert message is not None
    assert message["data"] == b"the end"
    assert redis_client.hgetall(keys.COUNTERS) == {b"failed": b"1"}


# What is fresh --------------------------------------------------------------------------------------------


def test_fresh_is_what_this_model_computed_from_these_data_after_the_last_change(
    redis_client: redis.Redis, own_dir: Path, own_engine: Engine, own_serving: Serving
) -> None:
    users = [1, 2, 3, 4]

    def wanted() -> list[int]:
        questions = [Question(Kind.SUGGESTED, user_id) for user_id in users]
        return [question.subject for question in stale(own_serving, redis_client, questions)]

    def compute(ids: list[int]) -> None:
        compute_rankings(own_serving, redis_client, [Question(Kind.SUGGESTED, user_id) for user_id in ids])

    assert wanted() == users
    compute([4, 1])
    assert wanted() == [2, 3]
    compute(users)
    assert wanted() == []

    announce_changes(redis_client, redis_client, [3])
    assert wanted() == [3]
    compute([3])
    assert wanted() == []

    redis_client.hset(keys.ranking(Kind.SUGGESTED, 2)[0], Kind.SUGGESTED, b"from another release")
    assert wanted() == [2]
    compute([2])

    with own_engine.begin() as connection:
        row = dict.fromkeys(("n_users", "n_movies", "n_ratings", "n_tags", "imported_at"), 1)
        connection.execute(insert(imports).values(import_id=99, name="x", fingerprint="x", **row))
    assert wanted() == users
    compute(users)
    assert wanted() == []

    train(own_engine, ArtifactStore(own_dir / "model"), SvdConfig(n_epochs=1, n_factors=2), keep=5)
    own_serving.refresh()
    assert wanted() == users


# In bulk --------------------------------------------------------------------------------------------------


def test_a_run_that_was_interrupted_goes_on_where_it_was(
    redis_client: redis.Redis, serving: Serving, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "BATCH", 64)
    users = warming.everything(trained.engine, Kind.SUGGESTED)
    assert len(users) == trained.manifest.data.n_users
    steps: list[Step] = []

    def interrupt(step: Step) -> None:
        steps.append(step)
        if step.done >= 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm(serving, redis_client, Kind.SUGGESTED, users, progress=interrupt)
    assert [(step.done, step.total, step.unit) for step in steps] == [
        (done, len(users), "user") for done in (0, 64, 128)
    ]
    second = warm(serving, redis_client, Kind.SUGGESTED, users, threads=3)
    assert 128 <= second.fresh < len(users), "it ended, after the batch that was being computed"
    assert second.computed + second.fresh == len(users)
    third = warm(serving, redis_client, Kind.SUGGESTED, users)
    assert (third.computed, third.fresh) == (0, len(users))
    for user_id in (users[0], users[-1]):
        expected = rank(serving, Kind.SUGGESTED, [user_id])[0].to_bytes()
        assert stored(redis_client, Kind.SUGGESTED, user_id) == expected
        assert 0 < redis_client.ttl(keys.ranking(Kind.SUGGESTED, user_id)[0]) <= 24 * 3600


def test_what_was_asked_most_comes_first(redis_client: redis.Redis) -> None:
    asked = {
        keys.asked(Kind.SUGGESTED, 7): 1.0,
        keys.asked(Kind.SUGGESTED, 70): 9.0,
        keys.asked(Kind.SIMILAR, 3): 5.0,
    }
    redis_client.zadd(keys.ASKED, asked)
    assert warming.asked_for(redis_client, Kind.SUGGESTED) == [70, 7]
    assert warming.asked_for(redis_client, Kind.SIMILAR) == [3]


@pytest.fixture
def settings(trained: Trained, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    monkeypatch.setattr("os.nice", lambda increment: 0)  # it could not be taken back
    monkeypatch.setenv("DATA_DIR", str(trained.data_dir))
    monkeypatch.setenv("QUEUE_URL", redis_url)
    return load(WorkerSettings)


def test_scopes(settings: WorkerSettings, redis_client: redis.Redis, trained: Trained) -> None:
    nothing = run_warming(settings, users=Scope.ACTIVE, movies=Scope.ACTIVE)
    assert nothing == "Nothing was asked yet; use --users all."
    redis_client.zadd(keys.ASKED, {keys.asked(Kind.SUGGESTED, 2): 1.0, keys.asked(Kind.SIMILAR, 1): 1.0})
    active = run_warming(settings, users=Scope.ACTIVE, movies=Scope.ACTIVE)
    assert active.startswith("Computed 1 user and 1 movie in ")
    assert active.endswith(" users/s); 0 users and 0 movies already fresh.")
    everybody = run_warming(settings, users=Scope.ALL, movies=Scope.NONE, threads=1)
    n = trained.manifest.data.n_users
    assert everybody.startswith(f"Computed {n - 1:,} users in ")
    assert everybody.endswith("; 1 user already fresh.")
    assert len(list(redis_client.scan_iter("movierec:user:*"))) == n
    assert len(list(redis_client.scan_iter("movierec:movie:*"))) == 1
    movies = run_warming(settings, users=Scope.ACTIVE, movies=Scope.ALL)
    assert f"Computed 0 users and {trained.manifest.data.n_movies - 1:,} movies in " in movies
    assert "users/s" not in movies
    only_movies = run_warming(settings, users=Scope.NONE, movies=Scope.ACTIVE)
    assert only_movies.startswith("Computed 0 movies in ")
    assert only_movies.endswith(" s; 1 movie already fresh.")


def test_without_a_model_it_says_so(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "none"))
    with pytest.raises(ArtifactError, match="movierec train"):
        run_warming(load(WorkerSettings), users=Scope.ALL, movies=Scope.NONE)


def test_if_redis_goes_away_it_says_so(
    settings: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.redis_server.server import RedisServer

    server = RedisServer(tmp_path / "redis")
    server.start()
    monkeypatch.setenv("CACHE_URL", server.url)
    monkeypatch.setattr(warming, "BATCH", 16)

    def kill(step: Step) -> None:
        if step.done:
            server.stop()

    with pytest.raises(ServiceError, match="goes on where it was"):
        run_warming(load(WorkerSettings), users=Scope.ALL, movies=Scope.NONE, progress=kill)
