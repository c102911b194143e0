"""Child processes that never outlive their parent."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from shared.processes.parent import die_with_parent

STOP_SECONDS = 15.0
"""How long a child has to finish its work before it is killed."""


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of our modules.

    With ``-P``, since Python would otherwise look for modules in the current folder first: a ``redis.py`` or
    ``shared.py`` that somebody has there would be run in place of ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def movierec_command(*arguments: str) -> list[str]:
    """Return the command line of a ``movierec`` command."""
    return python_command("cli.main", *arguments)


def free_port() -> int:
    """Return a port on loopback that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(path: Path, lines: int = 15) -> str:
    """Return the end of a log, each line indented."""
    try:
        text = path.read_text(errors="replace", encoding="utf-8")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (its log is empty)"


def stop_process(process: "subprocess.Popen[bytes]", seconds: float = STOP_SECONDS) -> None:
    """Ask a process to end, and kill it if it has not ended some seconds later."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Child:
    """A ``movierec`` command, run as a child process with a log file.

    Parameters
    ----------
    name : str
        Name in messages and of the log file.
    arguments : list of str
        Arguments of ``movierec``.
    environment : dict of str to str
        Variables added to this process's environment.
    logs : Path
        Directory of the log file.
    stop_seconds : float
        Seconds between the request to stop and the kill.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        logs: Path,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        self._stop_seconds = stop_seconds
        self.log = logs / f"{name}.log"
        self._command = movierec_command(*arguments)
        # Logs are read by other programs and people, so this terminal's encoding does not matter.
        self._environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its log is appended to."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # In its own session: Ctrl-C then reaches only the parent, which stops its children in order.
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs and before it was started."""
        return self.process.poll() if self.process else None

    def ask_to_stop(self) -> None:
        """Ask it to stop, without waiting."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """Stop it, and kill it if that takes too long."""
        if self.process is not None:
            stop_process(self.process, self._stop_seconds)
