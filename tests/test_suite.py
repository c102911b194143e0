"""That a run notices what its tests leave behind, and makes once what its processes share."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.suite import PROJECT, LeftBehind, made_once


@pytest.fixture
def left_behind(monkeypatch: pytest.MonkeyPatch) -> LeftBehind:
    monkeypatch.setenv("MOVIEREC_TEST_RUN", "")  # whose value comes back
    return LeftBehind(settle_seconds=0.1)


def test_a_process_that_is_left_is_named(left_behind: LeftBehind) -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        assert f"a test left a process running: {process.pid} sleep 60" in left_behind.complaints()
    finally:
        process.kill()
        process.wait()
    # Other tests of this process may use a service that still runs.
    assert not any(f" {process.pid} " in complaint for complaint in left_behind.complaints())


@pytest.mark.parametrize("directory", ["", "data"])  # what git ignores is left behind, too
def test_a_file_that_is_left_is_named(left_behind: LeftBehind, directory: str) -> None:
    if shutil.which("git") is None or not (PROJECT / ".git").exists():
        pytest.skip("what is new is found by git, in a clone")
    path = PROJECT / directory / f"left-by-{os.getpid()}"
    path.touch()
    try:
        assert (
            f"a test left a file in the repository: {path.relative_to(PROJECT)}" in left_behind.complaints()
        )
    finally:
        path.unlink()


def test_what_is_shared_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(directory: Path) -> None:
        directory.mkdir()
        made.append(directory)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: made_once(tmp_path, "data", make), range(8)))
    assert made == [tmp_path / "data"]
    assert found == [tmp_path / "data"] * 8
