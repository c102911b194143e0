"""Both databases, for real: SQLite, and PostgreSQL where it is installed."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from shared.database import bulk, queries, user_ratings
from shared.database.engine import database_url, open_database
from shared.database.one_import import one_import
from shared.datasets.generate import generate
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError, DataError, ServiceError
from shared.processes.children import free_port
from shared.progress import silent
from shared.settings import Settings, load
from tests.conftest import PROJECT
from tests.processes import Command, wait_for
from worker.models.ratings import ratings_batch


def tool(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    initdb, pg_ctl = tool("initdb"), tool("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("there is no user postgres to run PostgreSQL as")
        user = "postgres"
    # Not below pytest's directory, which only its owner may enter.
    with TemporaryDirectory(prefix="movierec-postgres-") as name:
        directory = Path(name)
        if user:
            shutil.chown(directory, user)
        cluster, port = directory / "cluster", free_port()

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, cwd=directory, stdout=subprocess.DEVNULL, user=user)

        run(initdb, "-D", cluster, "-A", "trust", "-U", "movierec", "--no-sync")
        server = (pg_ctl, "-D", cluster, "-w", "-l", directory / "log")
        run(*server, "-o", f"-p {port} -k {directory} -h 127.0.0.1", "start")
        yield f"postgresql://movierec@127.0.0.1:{port}/postgres"
        run(*server, "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path / 'd' / 'movierec.db'}")
    else:
        opened = open_database(request.getfixturevalue("postgres_url"))
        with opened.begin() as connection:
            connection.execute(text("TRUNCATE movies, ratings, tags, imports"))
    yield opened
    opened.dispose()


@pytest.fixture
def dataset() -> Dataset:
    ids = {"user_id": "int32", "movie_id": "int32"}
    movies = pd.DataFrame(
        {
            "movie_id": np.array([1, 2, 30], dtype=np.int32),
            "title": ["Toy Story (1995)", 'Été, "L\'" (1996)', "No year"],
            "year": pd.array([1995, 1996, pd.NA], dtype="Int16"),
            "genres": ["Adventure|Children", "", "Drama"],
            "imdb_id": pd.array([114709, pd.NA, pd.NA], dtype="Int64"),
            "tmdb_id": pd.array([862, pd.NA, 3], dtype="Int64"),
        }
    )
    ratings = pd.DataFrame(
        {
            "user_id": [1, 1, 5, 9],
            "movie_id": [1, 30, 2, 1],
            "rating": np.array([4.0, 4.0, 0.5, 5.0], dtype=np.float32),
            "timestamp": [964982703, 964981247, 2**33, 0],
        }
    ).astype(ids)
    tags = pd.DataFrame(
        {"user_id": [1, 1], "movie_id": [1, 1], "tag": ["später", "früher"], "timestamp": [20, 10]}
    ).astype(ids)
    return Dataset("tiny", movies, ratings, tags.sort_values(["user_id", "movie_id", "timestamp"]))


def test_what_is_stored_is_read(engine: Engine, dataset: Dataset) -> None:
    imported = bulk.replace_dataset(engine, dataset, "abc")
    assert (imported.import_id, imported.n_users, imported.n_ratings, imported.n_tags) == (1, 3, 4, 2)
    current, stored = bulk.read_dataset(engine)
    assert current == imported
    pd.testing.assert_frame_equal(stored.movies, dataset.movies, check_dtype=True)
    pd.testing.assert_frame_equal(stored.ratings, dataset.ratings)
    pd.testing.assert_frame_equal(stored.tags, dataset.tags.reset_index(drop=True))


def test_small_questions(engine: Engine, dataset: Dataset) -> None:
    bulk.replace_dataset(engine, dataset, "abc")
    with engine.connect() as connection:
        assert queries.rated_movies(connection, 1) == [
            queries.RatedMovie(1, 4.0, ["früher", "später"]),
            queries.RatedMovie(30, 4.0, []),
        ]
        assert queries.rated_movies(connection, 2) == []
        assert queries.user_exists(connection, 5)
        assert not queries.user_exists(connection, 2)
        assert [movie.genres for movie in queries.all_movies(connection)] == [
            ["Adventure", "Children"],
            [],
            ["Drama"],
        ]
        several = user_ratings.ratings_of(connection, [5, 9, 77])
        assert sorted(zip(*map(np.ndarray.tolist, several), strict=True)) == [(5, 2, 0.5), (9, 1, 5.0)]
        assert [len(array) for array in user_ratings.ratings_of(connection, [77])] == [0, 0, 0]


def test_profiles_hold_every_rating_on_the_scale(engine: Engine, dataset: Dataset) -> None:
    """Also finer ones than half a star, and of the largest ids."""
    stars = np.arange(5_000, 50_001, 7) / 10_000
    movie_ids = np.arange(len(stars)) + 2**31 - 1 - len(stars)
    ratings = pd.DataFrame(
        {
            "user_id": np.where(np.arange(len(stars)) % 3, 7, 2**31 - 1).astype(np.int32),
            "movie_id": movie_ids.astype(np.int32),
            "rating": stars.astype(np.float32),
            "timestamp": np.zeros(len(stars), dtype=np.int64),
        }
    ).sort_values(["user_id", "movie_id"])
    movies = dataset.movies.iloc[:1].reset_index(drop=True)
    bulk.replace_dataset(engine, Dataset("fine", movies, ratings, dataset.tags.iloc[:0]), "abc")
    with engine.connect() as connection:
        found = user_ratings.ratings_of(connection, [2**31 - 1, 7])
    order = np.lexsort((found.movie_ids, found.user_ids))
    np.testing.assert_array_equal(found.user_ids[order], ratings["user_id"])
    np.testing.assert_array_equal(found.movie_ids[order], ratings["movie_id"])
    np.testing.assert_array_equal(found.ratings[order].astype(np.float32), ratings["rating"])


def test_an_import_that_fails_leaves_everything(engine: Engine, dataset: Dataset) -> None:
    bulk.replace_dataset(engine, dataset, "abc")
    twice = pd.concat([dataset.ratings, dataset.ratings.iloc[:1]])
    with pytest.raises(ServiceError, match="refused"):
        bulk.replace_dataset(engine, Dataset("broken", dataset.movies.iloc[:1], twice, dataset.tags), "x")
    current, stored = bulk.read_dataset(engine)
    assert current.name == "tiny"
    pd.testing.assert_frame_equal(stored.ratings, dataset.ratings)
    assert len(stored.movies) == 3


def test_an_import_replaces_the_one_before(engine: Engine, dataset: Dataset) -> None:
    bulk.replace_dataset(engine, dataset, "abc")
    smaller = Dataset("smaller", dataset.movies, dataset.ratings.iloc[:2], dataset.tags.iloc[:0])
    assert bulk.replace_dataset(engine, smaller, "def").import_id == 2
    current, stored = bulk.read_dataset(engine)
    assert (current.name, len(stored.ratings), len(stored.tags)) == ("smaller", 2, 0)


def test_an_empty_database_says_what_to_do(engine: Engine) -> None:
    with pytest.raises(DataError, match="movierec data import"):
        bulk.read_dataset(engine)
    with engine.connect() as connection:
        assert queries.current_import(connection) is None


@pytest.mark.parametrize(
    "name", ["a?b", "a?mode=memory", "a%41b", "a#b", 'a"b', "a\\b", " a b", "a\nb", "\u00e9", "file:a"]
)
def test_all_drivers_use_the_file_in_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Dataset, name: str
) -> None:
    monkeypatch.setenv("DATA_DIR", name)
    opened = open_database(load(Settings).database)
    bulk.replace_dataset(opened, dataset, "f" * 64)
    assert len(bulk.read_dataset(opened)[1].ratings) == len(dataset.ratings)
    with opened.connect() as connection:
        assert queries.current_import(connection) is not None
    opened.dispose()
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in found if path.suffix == ".db"} == {tmp_path / name / "movierec.db"}
    assert {path.parent for path in found} == {tmp_path / name}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://x/y",
        "sqlite://",
        "not a url",
        "postgresql://u@h:port/x",
        "sqlite://host/x",
        "sqlite:///data?b/movierec.db",
        "sqlite:///file:x?uri=true",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        database_url(url)


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    with pytest.raises(ServiceError, match="cannot be used") as caught:
        open_database(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/x")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "movierec.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(ServiceError, match="cannot be used"):
        open_database(f"sqlite:///{tmp_path / 'movierec.db'}")


def test_a_batch_does_not_depend_on_the_order_of_rows() -> None:
    ratings = np.array([(2, 5, 3.0), (1, 9, 4.0), (2, 1, 2.0), (1, 3, 5.0)]).T
    batch = ratings_batch([2, 7, 1, 2], *ratings)
    assert batch.indptr.tolist() == [0, 2, 2, 4, 6]
    assert batch.movie_ids.tolist() == [1, 5, 3, 9, 1, 5]
    again = ratings_batch([2, 7, 1, 2], *ratings[:, ::-1])
    np.testing.assert_array_equal(batch.ratings, again.ratings)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    generate(directory, n_ratings=2_000, n_users=60, n_movies=150)
    return directory


def importing(engine: Engine, directory: Path, log: Path) -> Command:
    url = engine.url.render_as_string(hide_password=False)
    return Command("data", "import", str(directory), log=log, DATABASE_URL=url)


def test_an_import_waits_for_another_one(engine: Engine, files: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(one_import(engine, silent))
        second = importing(engine, files, tmp_path / "log")
        wait_for(lambda: f"waiting for another import (pid {os.getpid()}" in second.output, "it waits")
        with engine.connect() as connection:
            assert queries.current_import(connection) is None
        stack.close()
        assert second.process.wait(60) == 0, second.output
    assert "Imported files: 2,000 ratings" in second.output


def test_an_import_that_is_killed_keeps_nobody_waiting(engine: Engine, files: Path, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom shared.database.engine import open_database\n"
        "from shared.database.one_import import one_import\nfrom shared.progress import silent\n"
        "with one_import(open_database(sys.argv[1]), silent):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    url = engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        second = importing(engine, files, tmp_path / "log")
        wait_for(lambda: f"waiting for another import (pid {first.pid}" in second.output, "it waits")
        first.kill()
        assert second.process.wait(60) == 0, second.output


@pytest.mark.slow
def test_imports_at_once_come_one_after_the_other(engine: Engine, files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    generate(other, n_ratings=3_000, n_users=70, n_movies=160)
    commands = [
        importing(engine, directory, tmp_path / f"log-{number}")
        for number, directory in enumerate((files, other, files, other))
    ]
    for command in commands:
        assert command.process.wait(90) == 0, command.output
        assert "error" not in command.output
    imported, found = bulk.read_dataset(engine)
    assert len(found.ratings) == imported.n_ratings == {"files": 2_000, "other": 3_000}[imported.name]


def test_what_is_written_after_a_bulk_transfer_is_seen_by_other_processes(
    tmp_path: Path, dataset: Dataset
) -> None:
    """Two libraries of SQLite are in this process, and neither sees the other's locks."""
    url = f"sqlite:///{tmp_path / 'movierec.db'}"
    engine = open_database(url)
    with engine.connect() as connection:  # stays open in the pool
        assert queries.current_import(connection) is None
    bulk.replace_dataset(engine, dataset, "f1")
    bulk.read_dataset(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE movies SET title = 'written'"))
    script = (
        "from shared.database import queries\n"
        "from shared.database.engine import open_database\n"
        f"with open_database({url!r}).connect() as connection:\n"
        "    assert {movie.title for movie in queries.all_movies(connection)} == {'written'}\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=PROJECT)
    engine.dispose()


def test_a_transaction_reads_as_of_one_moment(engine: Engine, dataset: Dataset) -> None:
    bulk.replace_dataset(engine, dataset, "f1")
    with engine.connect() as reader:
        assert queries.data_fingerprint(reader) == "f1"
        with engine.begin() as writer:
            writer.execute(text("DELETE FROM ratings"))
        assert list(queries.all_users(reader))
    with engine.connect() as reader:
        assert not list(queries.all_users(reader))
