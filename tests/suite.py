"""What the suite does around its tests: order, caches, a look at what was left behind."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.processes.locks import ProcessLock

PROJECT = Path(__file__).parent.parent

_MARK = "MOVIEREC_TEST_RUN"
"""Variable by which processes that tests started are known; it has the number of the process of the run."""

BY_TOOLS = {
    "__pycache__",
    ".benchmarks",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
}


def keep_caches() -> None:
    """Let all processes of all runs share what numba compiles and which fonts matplotlib finds.

    A process without them needs ten seconds of a core to compile a model's loops anew.
    """
    directory = PROJECT / ".pytest_cache" / "libraries"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(directory / "numba"))
    os.environ.setdefault("MPLCONFIGDIR", str(directory / "matplotlib"))


def slowest_first(items: list[pytest.Item]) -> None:
    """Put files first whose tests start everything, then those that start processes.

    With several processes the last file to begin decides how long all others have nothing to do.
    """

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("system"):
            return 0
        if item.get_closest_marker("processes") or {"service", "start"} & set(_fixtures(item)):
            return 1
        return 2

    ranks: dict[Path, int] = {}
    for item in items:
        ranks[item.path] = min(rank(item), ranks.get(item.path, 2))
    items.sort(key=lambda item: ranks[item.path])


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def made_once(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory that one of the parallel processes of a run makes for all of them.

    Parameters
    ----------
    root : Path
        Directory of the run.
    name : str
        Of the directory in it.
    make : callable
        Fills it.
    """
    directory = root / name
    done = root / f"{name}.done"
    lock = ProcessLock(root / f"{name}.lock", f"{name} is being made", "Wait.")
    with lock.held(lambda holder: None):
        if not done.exists():
            make(directory)
            done.touch()
    return directory


class LeftBehind:
    """Finds files and processes that a run leaves behind.

    One is made before the first test, by the process that was started by hand.

    Parameters
    ----------
    settle_seconds : float
        How long processes that were told to end may take.
    """

    def __init__(self, settle_seconds: float = 10.0) -> None:
        self._settle_seconds = settle_seconds
        os.environ[_MARK] = str(os.getpid())
        self._mark = f"{_MARK}={os.getpid()}".encode()
        self._before = self._files()

    def complaints(self) -> list[str]:
        """Return what there is now that was not there before, a line each."""
        files = sorted(self._files() - self._before)
        deadline = time.monotonic() + self._settle_seconds
        while (processes := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.05)  # what was told to end may still do so
        return [
            *(f"a test left a file in the repository: {name}" for name in files),
            *(f"a test left a process running: {command}" for command in processes),
        ]

    @staticmethod
    def _files() -> set[str]:
        """Return all files that are not in git, also those that it ignores; none where there is no git."""
        command = ["git", "status", "--porcelain", "-z", "--untracked-files=all", "--ignored"]
        try:
            listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return set()
        names = {
            os.fsdecode(entry[3:]) for entry in listed.split(b"\0") if entry.startswith((b"?? ", b"!! "))
        }
        return {
            name
            for name in names
            if not BY_TOOLS & set(Path(name).parts) and not Path(name).name.startswith(".coverage")
        }

    def _processes(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self._mark not in path.read_bytes().split(b"\0") or int(path.parent.name) == os.getpid():
                    continue
                if (path.parent / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                    continue
                command = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (OSError, ValueError):  # it has ended, or is somebody else's
                continue
            found.append(f"{path.parent.name} {command.strip()}")
        return found


@contextmanager
def elsewhere(directory: Path, names: tuple[str, ...]) -> Iterator[None]:
    """Work in a directory without some variables of the environment."""
    before, kept = Path.cwd(), dict(os.environ)
    os.chdir(directory)
    for name in names:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.update({name: kept[name] for name in names if name in kept})
