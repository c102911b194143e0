"""A database file that was replaced, deleted or damaged is noticed by who has it open."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from shared.database import bulk, queries
from shared.database.engine import open_database
from shared.database.files import probe
from shared.database.schema import movies
from shared.datasets.formats import read_dataset
from shared.datasets.generate import generate
from shared.datasets.model import Dataset
from shared.errors import ServiceError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    files = tmp_path_factory.mktemp("files") / "demo"
    generate(files, n_ratings=5_000, n_users=100, n_movies=300)
    return read_dataset(files)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "movierec.db"


@pytest.fixture
def engine(path: Path, dataset: Dataset) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{path}")
    bulk.replace_dataset(engine, dataset, "first")
    assert fingerprint(engine) == "first"  # a connection is in the pool from here on
    yield engine
    engine.dispose()


def fingerprint(engine: Engine) -> str:
    with engine.connect() as connection:
        return queries.data_fingerprint(connection)


def write_other(path: Path, dataset: Dataset) -> None:
    other = open_database(f"sqlite:///{path}")
    bulk.replace_dataset(other, dataset, "second")
    with other.begin() as connection:
        connection.execute(text("UPDATE movies SET title = 'other'"))
    other.dispose()


@pytest.mark.parametrize("how", ["renamed", "copied over"])
def test_another_file_in_its_place_is_read(
    engine: Engine, path: Path, tmp_path: Path, dataset: Dataset, how: str
) -> None:
    before = probe(engine)
    other = tmp_path / "other.db"
    write_other(other, dataset)
    if how == "renamed":
        other.rename(path)
    else:
        shutil.copyfile(other, path)
    after = probe(engine)
    assert (before.fingerprint, after.fingerprint) == ("first", "second")
    assert (before.file == after.file) == (how == "copied over")
    with engine.connect() as connection:
        assert queries.data_fingerprint(connection) == "second"
        assert {movie.title for movie in queries.all_movies(connection)} == {"other"}


def test_a_file_that_is_gone_is_an_error_and_is_not_made_anew(engine: Engine, path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(DBAPIError, match="the database file is gone"):
            probe(engine)
        with pytest.raises(DBAPIError, match="the database file is gone"):
            fingerprint(engine)
    with pytest.raises(ServiceError, match="the database file is gone"):
        bulk.read_dataset(engine)
    assert not path.exists()
    path.with_suffix(".away").rename(path)
    assert fingerprint(engine) == probe(engine).fingerprint == "first"


@pytest.mark.parametrize("kept", [0, 50, 4096])
def test_a_damaged_file_is_found_though_it_was_read_before(engine: Engine, path: Path, kept: int) -> None:
    content, before = path.read_bytes(), path.stat()
    path.write_bytes(content[:kept] + b"\xff" * (len(content) - kept))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk that rots does not tell
    with pytest.raises(DBAPIError):
        probe(engine)
    path.write_bytes(content)
    assert fingerprint(engine) == probe(engine).fingerprint == "first"


def test_what_a_connection_has_in_memory_does_not_hide_damage(tmp_path: Path) -> None:
    path = tmp_path / "small.db"
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as connection:
        rows = [{"movie_id": movie_id, "title": "t", "genres": ""} for movie_id in range(1, 1000)]
        connection.execute(movies.insert(), rows)
    engine.dispose()
    assert fingerprint(engine) == ""
    size, before = path.stat().st_size, path.stat()
    path.write_bytes(b"\xff" * size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fingerprint(engine) == ""  # from its memory
    with pytest.raises(DBAPIError, match="not a database"):
        probe(engine)
    engine.dispose()


def test_damage_in_the_middle_is_found_sooner_or_later(engine: Engine, path: Path) -> None:
    """Each look reads another part: of a hundred, some meet any quarter of the ratings."""
    content = bytearray(path.read_bytes())
    page = 4096
    quarter = len(content) // 4 // page * page
    content[2 * quarter : 3 * quarter] = b"\xff" * quarter
    path.write_bytes(bytes(content))

    def fails() -> bool:
        try:
            probe(engine)
        except DBAPIError:
            return True
        return False

    assert any(fails() for _ in range(100))
