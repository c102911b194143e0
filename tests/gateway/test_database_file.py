"""The gateway notices what becomes of the database file under it."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.database.engine import open_database
from tests.conftest import Trained
from tests.processes import Gateway, wait_for


@pytest.fixture
def database(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.data_dir, tmp_path / "own")) / "movierec.db"


def test_what_becomes_of_the_file_is_noticed(database: Path, redis_url: str, tmp_path: Path) -> None:
    def check() -> tuple[bool, str]:
        found = gateway.client.get("/readyz").json()["checks"]["database"]
        return found["ok"], found["detail"]

    def title() -> str:
        return str(gateway.client.get("/api/v1/movies/1").json()["title"])

    settings = {"DATA_DIR": str(database.parent), "QUEUE_URL": redis_url}
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway:
        assert check() == (True, "reachable")
        first = title()
        assert gateway.client.get("/api/v1/users/1").json()["movies"]

        away = database.with_suffix(".away")
        database.rename(away)
        assert check() == (False, "does not answer: the database file is gone")
        assert gateway.client.get("/readyz").status_code == 503
        answer = gateway.client.get("/api/v1/users/2")
        assert (answer.status_code, answer.json()["title"]) == (503, "The database does not answer")
        assert not database.exists()

        # The same data set, to go by its fingerprint, and yet another file.
        shutil.copyfile(away, database)
        other = open_database(f"sqlite:///{database}")
        with other.begin() as connection:
            connection.execute(text("UPDATE movies SET title = 'Another file'"))
        other.dispose()
        wait_for(lambda: title() == "Another file", "the other file is read", 10)
        assert first != "Another file"
        assert check() == (True, "reachable")

        content = database.read_bytes()
        database.write_bytes(b"\xff" * len(content))
        assert check()[0] is False
        assert "not a database" in check()[1]
        database.write_bytes(content)
        wait_for(lambda: check() == (True, "reachable"), "it is whole again", 10)
        assert gateway.client.get("/api/v1/users/3").status_code == 200
        assert "Traceback" not in gateway.output
