"""Other data are imported while the service runs: every answer is all old or all new."""

import csv
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.database.engine import open_database
from shared.datasets.generate import generate
from shared.datasets.importing import import_dataset
from shared.queue.connections import connect
from shared.redis_server.server import RedisServer
from tests.processes import Command, Gateway, wait_for
from worker.training.pipeline import train

STALE_SECONDS = 0.5
"""What docs/architecture.md says: a gateway notices an import within half a second."""

SLACK_SECONDS = 2.0
"""What a busy machine may add."""

PATHS = [
    *(f"/api/v1/users/{user_id}" for user_id in range(1, 13)),
    *(f"/api/v1/users/{user_id}/suggested_movies" for user_id in range(1, 13)),
    *(f"/api/v1/movies/{movie_id}" for movie_id in range(1, 13)),
    *(f"/api/v1/movies/{movie_id}/most_similar_movies" for movie_id in range(1, 13)),
]


@dataclass(frozen=True)
class Running:
    """A service over the first of two data sets, on which its model was trained, too."""

    data_dir: Path
    old: Path
    new: Path
    gateway: Gateway
    redis_url: str

    def use(self, files: Path) -> str:
        """Import files and return their fingerprint."""
        engine = open_database(f"sqlite:///{self.data_dir / 'movierec.db'}")
        try:
            return import_dataset(engine, files).imported.fingerprint
        finally:
            engine.dispose()

    def settled(self, fingerprint: str) -> dict[str, bytes]:
        """Return every answer once all of them are of one data set."""

        def seen() -> bool:
            answer = self.gateway.client.get(PATHS[0])
            return bool(answer.headers.get("X-Data-Version") == fingerprint)

        wait_for(seen, "the import is noticed", STALE_SECONDS + SLACK_SECONDS)
        answers = {}
        for path in PATHS:
            answer = self.gateway.client.get(path)
            assert answer.headers["X-Data-Version"] == fingerprint
            answers[path] = body_of(answer)
        return answers


def body_of(answer: httpx.Response) -> bytes:
    return answer.content if answer.status_code == 200 else b"%d" % answer.status_code


def write_other(files: Path, directory: Path, title: str = "Other") -> None:
    """Write a data set with the same ids: every other movie is another one, and all ratings are turned."""
    directory.mkdir()
    for name in ("movies.csv", "ratings.csv"):
        with (files / name).open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
        for number, row in enumerate(rows):
            if name == "ratings.csv":
                row["rating"] = str(5.5 - float(row["rating"]))
            elif number % 2:
                row["title"], row["genres"] = f"{title} {row['title']}", "Western"
        with (directory / name).open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(params=["64", "0"], ids=["remembering", "forgetful"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    old, new = tmp_path / "old", tmp_path / "new"
    generate(old, n_ratings=5_000, n_users=100, n_movies=300)
    write_other(old, new)
    data_dir = tmp_path / "data"
    engine = open_database(f"sqlite:///{data_dir / 'movierec.db'}")
    import_dataset(engine, old)
    train(engine, ArtifactStore(data_dir / "model"), SvdConfig(n_epochs=3, n_factors=8), keep=3)
    engine.dispose()
    with ExitStack() as stack:
        server = RedisServer(tmp_path / "redis")
        server.start()
        stack.callback(server.stop)
        environment = {"DATA_DIR": str(data_dir), "QUEUE_URL": server.url}
        for number in (1, 2):
            alive = str(tmp_path / f"worker-{number}.alive")
            log = tmp_path / f"worker-{number}.log"
            stack.enter_context(Command("worker", log=log, HEARTBEAT_FILE=alive, **environment))
        gateway = stack.enter_context(
            Gateway(log=tmp_path / "gateway.log", LOCAL_CACHE_MB=request.param, **environment)
        )
        gateway.wait_until_ready(2)
        yield Running(data_dir, old, new, gateway, server.url)


@pytest.mark.system
def test_every_answer_is_all_old_or_all_new(running: Running) -> None:
    before = running.settled(running.use(running.old))
    after = running.settled(running.use(running.new))
    assert all(before[path] != after[path] for path in PATHS if path.startswith("/api/v1/users"))
    seen: list[tuple[str, bytes]] = []
    ending = threading.Event()

    def keep_asking(start: int) -> None:
        with httpx.Client(base_url=running.gateway.client.base_url, timeout=30, trust_env=False) as client:
            for path in islice(cycle(PATHS), start, None):
                if ending.is_set():
                    return
                answer = client.get(path)
                seen.append(
                    (path, answer.content if answer.status_code == 200 else b"%d" % answer.status_code)
                )

    askers = [threading.Thread(target=keep_asking, args=(11 * number,)) for number in range(6)]
    for asker in askers:
        asker.start()
    with connect(running.redis_url) as client:
        for turn in range(6):
            running.use((running.old, running.new)[turn % 2])
            client.delete(*client.keys("movierec:user:*") or ["none"])  # so that much is computed meanwhile
            time.sleep(STALE_SECONDS / 2)  # some imports come before the one before was noticed
    ending.set()
    for asker in askers:
        asker.join()
    mixed = [(path, body) for path, body in seen if body not in {before[path], after[path]}]
    assert not mixed, f"{len(mixed)} of {len(seen)}: {mixed[0]}"
    assert {True, False} == {body == before[path] for path, body in seen}


@pytest.mark.system
def test_a_model_of_other_data_says_so_and_shows_no_movie_that_it_does_not_know(running: Running) -> None:
    client = running.gateway.client
    assert client.get("/readyz").json()["checks"]["model"]["ok"]
    titles = {}
    with (running.new / "movies.csv").open(encoding="utf-8", newline="") as file:
        titles = {int(row["movieId"]): row["title"] for row in csv.DictReader(file)}
    running.settled(running.use(running.new))
    suggested = client.get("/api/v1/users/1/suggested_movies")
    movies = suggested.json()["suggested_movies"]
    assert movies
    assert all(movie["title"] == titles[movie["id"]] for movie in movies)
    assert not any(movie["title"].startswith("Other") for movie in movies)
    assert suggested.headers["X-Model-Outdated"] == "true"
    own, other = sorted(titles)[0], sorted(titles)[1]
    alike = client.get(f"/api/v1/movies/{own}/most_similar_movies").json()["most_similar_movies"]
    assert alike
    assert not any(movie["title"].startswith("Other") for movie in alike)
    # It is a western now, which the model does not know.
    assert client.get(f"/api/v1/movies/{other}/most_similar_movies").json() == {"most_similar_movies": []}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert "trained on other data" in ready.json()["checks"]["model"]["detail"]
    store = ArtifactStore(running.data_dir / "model")
    engine = open_database(f"sqlite:///{running.data_dir / 'movierec.db'}")
    trained = train(engine, store, SvdConfig(n_epochs=3, n_factors=8), keep=3)
    engine.dispose()

    def served() -> bool:
        answer = client.get("/api/v1/users/1/suggested_movies")
        return bool(answer.headers.get("X-Model-Version") == trained.version)

    wait_for(served, "the new model serves")
    assert "X-Model-Outdated" not in client.get("/api/v1/users/1/suggested_movies").headers
    assert client.get(f"/api/v1/movies/{other}/most_similar_movies").json()["most_similar_movies"]
    assert client.get("/readyz").json()["checks"]["model"]["ok"]


@pytest.mark.system
def test_a_restored_backup_makes_no_other_data_pass_for_those_that_came_after_it(
    running: Running, tmp_path: Path
) -> None:
    """The import after it has the same number as one that was asked about before."""
    third = tmp_path / "third"
    write_other(running.old, third, "Third")
    database, backup = running.data_dir / "movierec.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    asked_before = running.settled(running.use(running.new))
    backup.rename(database)
    answers = running.settled(running.use(third))
    path = "/api/v1/movies/2"
    assert (b"Other" in asked_before[path], b"Third" in answers[path]) == (True, True)
    for path, body in answers.items():
        assert b"Other" not in body, path
    with connect(running.redis_url) as client:
        for key in client.keys("movierec:user:*"):
            client.delete(key)
    assert running.settled(running.use(third)) == answers, "nothing was taken from the cache"
