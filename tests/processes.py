"""Our commands as processes, for tests of the whole."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from shared.processes.children import free_port, movierec_command
from tests.conftest import PROJECT

T = TypeVar("T")

DEADLINE_SECONDS = 60.0


def wait_for(look: Callable[[], T | None], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """Return the first thing that ``look`` finds; fail when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


class Command:
    """A ``movierec`` command that runs until it is stopped.

    Parameters
    ----------
    *arguments : str
        Of the command.
    log : Path
        What it prints goes there.
    errors : str, optional
        File that standard error goes to instead; closed if empty.
    **environment : str
        Its settings.
    """

    def __init__(self, *arguments: str, log: Path, errors: str | None = None, **environment: str) -> None:
        self.log = log
        redirection = "" if errors is None else f" 2> {errors}" if errors else " 2>&-"
        # Started as a shell would: the ignored signals of a test runner must not be inherited.
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                ["sh", "-c", f'exec "$0" "$@"{redirection}', *movierec_command(*arguments)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
                cwd=log.parent,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace", encoding="utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop:\n{self.output[-3000:]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Gateway(Command):
    """A gateway on a free port, and a client for it."""

    def __init__(self, *, log: Path, errors: str | None = None, **environment: str) -> None:
        self.port = free_port()
        super().__init__("gateway", "--port", str(self.port), log=log, errors=errors, **environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        wait_for(self._answers, "the gateway answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.output[-3000:]
        try:
            return self.client.get("/livez").status_code == 200
        except httpx.HTTPError:
            return False

    def wait_until_ready(self, workers: int) -> None:
        """Return when so many workers serve."""

        def ready() -> bool:
            serving: int = self.client.get("/readyz").json()["checks"]["workers"]["serving"]
            return serving == workers

        wait_for(ready, f"{workers} workers serve")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.client.close()
        return super().stop(number)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
