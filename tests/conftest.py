"""What all tests share: real data, a real Redis, a real database, a trained model."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore, Manifest
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.database.engine import open_database
from shared.datasets.generate import generate
from shared.datasets.importing import import_dataset
from shared.queue.connections import connect
from shared.rankings.ranking import Ranking
from shared.redis_server.server import RedisServer
from worker.serving import Serving
from worker.training.pipeline import train

PROJECT = Path(__file__).parent.parent


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a check that is skipped count as a failure where everything that it needs is to be there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in (
        "DATA_DIR",
        "DATABASE_URL",
        "MODEL_DIR",
        "RESULTS_DIR",
        "QUEUE_URL",
        "CACHE_URL",
        "ADMIN_TOKEN",
        "HOST",
        "CORS_ORIGINS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # where no .env is


@pytest.fixture(scope="session")
def movielens_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return real MovieLens files if there are any, else generated ones."""
    named = os.environ.get("MOVIELENS_DIR")
    if named:
        return Path(named).resolve()
    beside = PROJECT.parent / "shared" / "data" / "ml-latest-small"
    if beside.is_dir():
        return beside
    made = tmp_path_factory.mktemp("data") / "demo"
    generate(made, n_ratings=60_000, n_users=600, n_movies=3_000)
    return made


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Return the URL of a Redis without any keys."""
    with connect(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@dataclass(frozen=True)
class Trained:
    """A database with ratings and a model trained on them.

    Tests must not change it.
    """

    data_dir: Path
    engine: Engine
    store: ArtifactStore
    manifest: Manifest


@pytest.fixture(scope="session")
def trained(movielens_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    data_dir = tmp_path_factory.mktemp("trained")
    engine = open_database(f"sqlite:///{data_dir / 'movierec.db'}")
    import_dataset(engine, movielens_dir)
    store = ArtifactStore(data_dir / "model")
    manifest = train(engine, store, SvdConfig(n_epochs=3, n_factors=20), keep=3)
    yield Trained(data_dir, engine, store, manifest)
    engine.dispose()


@pytest.fixture
def serving(trained: Trained) -> Serving:
    """Return the trained model, ready to answer in this process."""
    serving = Serving(trained.store, trained.engine)
    serving.refresh()
    return serving


def rank(serving: Serving, kind: Kind, ids: Sequence[int]) -> list[Ranking]:
    """Return the rankings of users or movies that there are."""
    found = [
        ranking
        for ranking in serving.rank([Question(kind, subject_id) for subject_id in ids])
        if ranking is not None
    ]
    assert len(found) == len(ids), "one of them does not exist"
    return found
