"""One at a time, between processes: who comes second is told who came first.

A lock is a file that the kernel has locked (``flock``). It ends with the process that took it, however that
ends, and with those that were started with its descriptor. On a network file system the kernels of all
machines agree on it. What is written in the file is for people only: who has the lock, and since when.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import BusyError, ServiceError

_POLL_SECONDS = 0.2


class ProcessLock:
    """A lock that at most one process has.

    Parameters
    ----------
    path : Path
        Of the file; it is there while somebody has the lock, and after a death until somebody takes it again.
    taken : str
        What another process does that has it, for the message: ``Another training is under way``.
    advice : str
        What whoever comes second can do.
    """

    def __init__(self, path: Path, taken: str, advice: str) -> None:
        self.path = path
        self._taken = taken
        self._advice = advice
        self._descriptor: int | None = None

    @contextmanager
    def held(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Have the lock for a while; see :meth:`acquire`."""
        self.acquire(waiting)
        try:
            yield
        finally:
            self.release()

    def acquire(self, waiting: Callable[[str], None] | None = None, seconds: float | None = None) -> None:
        """Take the lock.

        Parameters
        ----------
        waiting : callable, optional
            Wait for it, and call this again and again with who has it. Without it nobody waits.
        seconds : float, optional
            Longest wait.

        Raises
        ------
        BusyError
            If another process has it, with its process number, machine and time.
        ServiceError
            If there can be no such file.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._try():
            if waiting is None or (deadline is not None and time.monotonic() > deadline):
                raise BusyError(f"{self._taken}: {self.holder()}. {self._advice}")
            waiting(self.holder())
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Give it back; nothing happens if we do not have it."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # while it is ours: nobody else's can go
            os.close(self._descriptor)
            self._descriptor = None

    def descriptor(self) -> int:
        """Return what a child inherits that shall keep the lock should we die."""
        assert self._descriptor is not None
        return self._descriptor

    def note(self, pid: int) -> None:
        """Write down which process has the lock."""
        assert self._descriptor is not None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"pid": pid, "host": socket.gethostname(), "since": since})
        with contextlib.suppress(OSError):  # a full disk: we have the lock all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode() + b"\n", 0)

    def holder(self) -> str:
        """Return who has it, in words: ``pid 12, since 2026-01-31 12:00:00 UTC``.

        A machine, or container, is named if it is not this one: its process numbers mean nothing here.
        """
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            since = datetime.fromisoformat(found["since"])
            where = "" if found["host"] == socket.gethostname() else f" on {found['host']}"
            return f"pid {int(found['pid'])}{where}, since {since:%Y-%m-%d %H:%M:%S} UTC"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _try(self) -> bool:
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # For writing: over a network an exclusive lock needs it.
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise ServiceError(f"{self.path} cannot be written: {error.strerror}.") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_file(descriptor, self.path):
                    self._descriptor = descriptor
                    self.note(os.getpid())
                    return True
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                os.close(descriptor)
                raise ServiceError(
                    f"{self.path} cannot be locked: {error.strerror}. Choose a file system that has locks."
                ) from error
            os.close(descriptor)  # of a file that was removed between opening and locking


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
