"""Child processes that never outlive us."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from shared.processes.parent import die_with_parent

STOP_SECONDS = 15.0
"""How long a child may finish what it does before it is killed."""


def free_port() -> int:
    """Return a port on loopback that nobody uses."""
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
    """Ask a process to end, and make it end if it has not after some seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Child:
    """One of our own commands, run as a process with a log file.

    Parameters
    ----------
    name : str
        For messages and the log file.
    arguments : list of str
        Of ``movierec``.
    environment : dict of str to str
        Added to ours.
    logs : Path
        Directory of the log file.
    stop_seconds : float
        How long it may finish what it does before it is killed.
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
        self._command = [sys.executable, "-m", "cli.main", *arguments]
        # A log is read by tail, and by people elsewhere: its encoding is not a matter of this terminal.
        self._environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start; a log of an earlier run is continued."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # In a session of its own, so that Ctrl-C reaches us alone and we decide the order of the end.
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
        """How it ended, None while it runs or before it started."""
        return self.process.poll() if self.process else None

    def ask_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """Stop it, by force if need be."""
        if self.process is not None:
            stop_process(self.process, self._stop_seconds)
