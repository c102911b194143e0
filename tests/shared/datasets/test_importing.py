"""Files into the database, also when the import is killed in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.generate import generate
from shared.datasets.importing import import_dataset
from shared.errors import BadRowsError
from tests.conftest import PROJECT


@pytest.fixture
def small(tmp_path: Path) -> Path:
    generate(tmp_path / "small", n_ratings=500, n_users=20, n_movies=60, seed=1)
    return tmp_path / "small"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'movierec.db'}")


def test_the_same_files_are_not_imported_again(engine: Engine, small: Path) -> None:
    first, second = import_dataset(engine, small), import_dataset(engine, small)
    assert first.report is not None
    assert second.report is None
    assert second.imported == first.imported
    generate(small, n_ratings=500, n_users=20, n_movies=60, seed=2)
    assert import_dataset(engine, small).imported.import_id == 2


def test_bad_files_leave_the_database_as_it_was(engine: Engine, small: Path) -> None:
    before = import_dataset(engine, small).imported
    with (small / "ratings.csv").open("a", encoding="utf-8") as file:
        file.write("1,1,nine,5\n")
    with pytest.raises(BadRowsError, match=r"ratings\.csv:502: .*nine"):
        import_dataset(engine, small)
    assert bulk.read_dataset(engine)[0] == before
    outcome = import_dataset(engine, small, skip_bad_rows=True)
    assert outcome.report is not None
    assert outcome.report.n_bad_rows == 1
    assert outcome.imported.n_ratings == before.n_ratings


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.importing import import_dataset

bulk.CHUNK_ROWS = 1000

def kill(step):
    if step.phase == "storing ratings" and step.done >= 5000:
        os.kill(os.getpid(), signal.SIGKILL)

import_dataset(open_database(sys.argv[1]), Path(sys.argv[2]), progress=kill)
"""


def test_a_killed_import_leaves_the_database_as_it_was(engine: Engine, small: Path, tmp_path: Path) -> None:
    before, ratings = import_dataset(engine, small).imported, bulk.read_dataset(engine)[1].ratings
    generate(tmp_path / "large", n_ratings=20_000, n_users=300, n_movies=500)
    url = engine.url.render_as_string()
    arguments = [sys.executable, "-c", KILLED_IN_THE_MIDDLE, url, str(tmp_path / "large")]
    ended = subprocess.run(arguments, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert ended.returncode == -signal.SIGKILL
    again = open_database(url)
    imported, stored = bulk.read_dataset(again)
    assert imported == before
    assert stored.ratings.equals(ratings)
    assert import_dataset(again, tmp_path / "large").imported.n_ratings == 20_000
    again.dispose()
