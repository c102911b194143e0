"""Commands that work on a service while it runs."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.processes import Command, wait_for
from tests.system.conftest import Up

pytestmark = pytest.mark.system


def run(directory: Path, *arguments: str, code: int = 0) -> str:
    """Run a command beside the service and return what it printed."""
    log = directory / "command.log"
    log.unlink(missing_ok=True)
    command = Command(*arguments, log=log)
    assert command.process.wait(60) == code, command.output
    assert "Traceback" not in command.output
    return command.output


def test_warming_everybody_answers_every_question_from_the_cache(up: Up, tmp_path: Path) -> None:
    assert "Nothing was asked yet; use --users all." in run(tmp_path, "warm")
    printed = run(tmp_path, "warm", "--users", "all", "--movies", "all", "--jobs", "1")
    assert "warming users 100/100 users" in printed
    assert "Computed 100 users and 300 movies in " in printed
    for path in ("/api/v1/users/7/suggested_movies", "/api/v1/movies/3/most_similar_movies"):
        answer = up.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["X-Cache"] == "hit"
    again = run(tmp_path, "warm", "--users", "all", "--movies", "none")
    assert "Computed 0 users in " in again
    assert "100 users already fresh." in again


def test_an_interrupted_run_leaves_the_service_alone(up: Up, tmp_path: Path) -> None:
    """In the middle: it stands still in its first batch until it has been interrupted."""
    begun = tmp_path / "begun"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'warm' in sys.orig_argv:\n"
        "    import pathlib, signal, time\n"
        "    from worker.serving import Serving\n"
        "    rank = Serving.rank\n"
        "    def slowly(self, questions):\n"
        f"        pathlib.Path({str(begun)!r}).touch()\n"
        "        time.sleep(1)\n"
        "        return rank(self, questions)\n"
        "    Serving.rank = slowly\n",
        encoding="utf-8",
    )
    slow = {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    command = Command("warm", "--users", "all", "--movies", "none", log=tmp_path / "command.log", **slow)
    wait_for(begun.exists, "it computes")
    assert command.stop(signal.SIGINT) == 130
    assert "Traceback" not in command.output
    assert "Computed" not in command.output
    assert up.client.get("/api/v1/users/7/suggested_movies").status_code == 200
    printed = run(tmp_path, "warm", "--users", "all", "--movies", "none")
    computed, fresh = map(int, re.findall(r"(?:Computed|;) (\d+) users", printed))
    assert computed + fresh == 100


def test_changed_ratings_are_told(up: Up, tmp_path: Path) -> None:
    path = "/api/v1/users/5/suggested_movies"
    assert up.client.get(path).headers["X-Cache"] == "miss"
    assert up.client.get(path).headers["X-Cache"] == "hit"
    assert "2 users" in run(tmp_path, "data", "changed", "5", "6")
    assert up.client.get(path).headers["X-Cache"] == "miss"
    assert "Usage" in run(tmp_path, "data", "changed", "0", code=2)


def test_without_a_service_both_say_what_to_do(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    for arguments in (["warm"], ["data", "changed", "1"]):
        printed = run(tmp_path, *arguments, code=1)
        assert "movierec up" in printed
        assert "QUEUE_URL" in printed


def test_where_the_embedded_redis_is_stands_in_a_file_of_its_owner_while_it_runs(up: Up) -> None:
    path = up.data_dir / "redis" / "url"
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_text(encoding="utf-8").startswith("redis://:")
    up.stop()
    assert not path.exists()


def test_the_file_of_a_service_that_was_killed_is_no_service(up: Up, tmp_path: Path) -> None:
    up.stop(signal.SIGKILL)
    assert (up.data_dir / "redis" / "url").exists()
    assert "No service runs" in run(tmp_path, "warm", code=1)
