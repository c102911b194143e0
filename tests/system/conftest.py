"""Everything at once: ``movierec up`` as a person starts it."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.datasets.generate import generate
from shared.processes.children import free_port
from shared.redis_server.binary import find_redis_server
from tests.processes import Command, alive, wait_for
from tests.suite import made_once


class Up(Command):
    """``movierec up`` with a client for its gateway.

    Parameters
    ----------
    directory : Path
        Where it runs; its data is in ``data`` there.
    *options : str
        More options.
    errors : str, optional
        As of :class:`~tests.processes.Command`.
    """

    def __init__(self, directory: Path, *options: str, errors: str | None = None, **environment: str) -> None:
        self.data_dir = directory / "data"
        self.port = free_port()
        log = directory / f"up-{self.port}.log"
        super().__init__("up", "--port", str(self.port), *options, log=log, errors=errors, **environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    def wait_until_up(self) -> None:
        """Return when it says that it is up."""

        def up() -> bool:
            assert self.process.poll() is None, self.output
            return "movierec is up" in self.output

        wait_for(up, "it is up")

    def children(self) -> dict[int, str]:
        """Return the processes below it with their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
                command = (path.parent / "cmdline").read_bytes().decode().replace("\0", " ").strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[1] == str(self.process.pid) and fields[0] != "Z":
                found[int(path.parent.name)] = command
        return found

    def pids(self, words: str) -> list[int]:
        """Return the children in whose command line words occur."""
        return [pid for pid, command in self.children().items() if words in command]

    def redis_pids(self) -> list[int]:
        """Return the embedded Redis, whichever program that is here."""
        return self.pids(find_redis_server().name)

    def token(self) -> dict[str, str]:
        """Return the header that writing needs."""
        return {
            "Authorization": f"Bearer {(self.data_dir / 'admin-token').read_text(encoding='utf-8').strip()}"
        }

    def workers(self) -> dict[str, int]:
        """Return how many live workers serve which version."""
        models: list[dict[str, Any]] = self.client.get("/api/v1/models").json()["models"]
        return {model["version"]: model["workers"] for model in models if model["workers"]}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.client.close()
        below = list(self.children())
        code = super().stop(number)
        wait_for(lambda: not any(alive(pid) for pid in below), "all children are gone", 10)
        return code


@pytest.fixture(scope="session")
def small_files(shared_dir: Path) -> Path:
    def make(directory: Path) -> None:
        generate(directory, n_ratings=5_000, n_users=100, n_movies=300)

    return made_once(shared_dir, "small", make)


@pytest.fixture(scope="session")
def prepared(small_files: Path, shared_dir: Path) -> Path:
    """Return a data directory after a first start, for copies of which a start is a second one."""

    def make(directory: Path) -> None:
        directory.mkdir()
        arguments = ("up", "--prepare-only", "--data", str(small_files), "--algorithm", "svd")
        command = Command(*arguments, log=directory / "log")
        assert command.process.wait(60) == 0, command.output

    return made_once(shared_dir, "prepared", make) / "data"


@pytest.fixture
def up(prepared: Path, tmp_path: Path) -> Iterator[Up]:
    shutil.copytree(prepared, tmp_path / "data")
    with Up(tmp_path) as running:
        running.wait_until_up()
        yield running


@pytest.fixture(scope="module")
def lasting_up(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Return one for all tests of a module that leave it running."""
    directory = tmp_path_factory.mktemp("lasting")
    shutil.copytree(prepared, directory / "data")
    with Up(directory) as running:
        running.wait_until_up()
        yield running
