"""What all tests share: real data, a real Redis, a real database, a trained model."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
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
from tests.suite import PROJECT, LeftBehind, elsewhere, keep_caches, made_once, slowest_first
from worker.serving import Serving
from worker.training.pipeline import train

__all__ = ["PROJECT"]

_SETTINGS = (
    "DATA_DIR",
    "DATABASE_URL",
    "MODEL_DIR",
    "RESULTS_DIR",
    "QUEUE_URL",
    "CACHE_URL",
    "ADMIN_TOKEN",
    "HOST",
    "CORS_ORIGINS",
)

collect_ignore = ["system/orders"]  # for processes that tests start, not for a look at its docstrings

# How long an example takes says how busy the machine is, and twice as long where coverage is measured.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_LEFT_BEHIND = pytest.StashKey[LeftBehind]()


def pytest_configure(config: pytest.Config) -> None:
    keep_caches()
    if not hasattr(config, "workerinput"):  # no process of xdist's
        config.stash[_LEFT_BEHIND] = LeftBehind()


def pytest_xdist_auto_num_workers() -> int:
    """Run three processes on two cores: half of the time they wait for others that start or end."""
    return min(3 * len(os.sched_getaffinity(0)) // 2, 8) or 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slowest_first(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let files and processes left behind count as failures, and skips where nothing may be missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    if os.environ.get("CI") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if _LEFT_BEHIND in session.config.stash:
        for complaint in session.config.stash[_LEFT_BEHIND].complaints():
            reporter.write_line(f"\n{complaint}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def away_from_the_repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have fixtures of sessions and modules work where no .env is, and leave nothing in the repository."""
    with elsewhere(tmp_path_factory.mktemp("elsewhere"), _SETTINGS):
        yield


@pytest.fixture(autouse=True)
def own_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have each test work in a directory of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def shared_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the run, which parallel processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def movielens_dir(shared_dir: Path) -> Path:
    """Return real MovieLens files if there are any, else generated ones."""
    named = os.environ.get("MOVIELENS_DIR")
    if named:
        return Path(named).resolve()
    beside = PROJECT.parent / "shared" / "data" / "ml-latest-small"
    if beside.is_dir():
        return beside

    def make(directory: Path) -> None:
        generate(directory, n_ratings=60_000, n_users=600, n_movies=3_000)

    return made_once(shared_dir, "demo", make)


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
def trained(
    movielens_dir: Path, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trained]:
    def make(directory: Path) -> None:
        engine = open_database(f"sqlite:///{directory / 'movierec.db'}")
        import_dataset(engine, movielens_dir)
        train(engine, ArtifactStore(directory / "model"), SvdConfig(n_epochs=3, n_factors=20), keep=3)
        engine.dispose()

    made = made_once(shared_dir, "trained", make)
    data_dir = tmp_path_factory.mktemp("trained") / "data"
    shutil.copytree(made, data_dir)  # a database of its own: processes do not wait for each other
    store = ArtifactStore(data_dir / "model")
    version = store.current_version()
    assert version is not None
    engine = open_database(f"sqlite:///{data_dir / 'movierec.db'}")
    yield Trained(data_dir, engine, store, store.manifest(version))
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
