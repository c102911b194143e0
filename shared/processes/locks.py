"""Locks between processes, which say who holds them.

A lock is a file locked by the kernel (``flock``). The kernel releases it when the process that took it and
all processes that inherited its descriptor have ended, in whatever way. On a network file system it holds for
all machines. The text in the file is for people only: who holds the lock, and since when.
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
    """A lock that at most one process holds.

    Parameters
    ----------
    path : Path
        Path of the file; it exists while the lock is held, and after a crash until the lock is taken again.
    taken : str
        First part of the message if another process holds it: ``Another training is under way``.
    advice : str
        Last part of the message: what can be done about it.
    """

    def __init__(self, path: Path, taken: str, advice: str) -> None:
        self.path = path
        self._taken = taken
        self._advice = advice
        self._descriptor: int | None = None

    @contextmanager
    def held(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the lock within a context; see :meth:`acquire`."""
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
            Called with the holder every time the lock was found held; without it, there is no wait.
        seconds : float, optional
            Longest wait; without it, there is no limit.

        Raises
        ------
        BusyError
            If another process holds it, with its process id, machine and time.
        ServiceError
            If the file cannot be written or locked.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._try():
            if waiting is None or (deadline is not None and time.monotonic() > deadline):
                raise BusyError(f"{self._taken}: {self.holder()}. {self._advice}")
            waiting(self.holder())
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Release the lock; nothing happens if it is not held."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # while the lock is held, so the file is ours
            os.close(self._descriptor)
            self._descriptor = None

    def descriptor(self) -> int:
        """Return the descriptor to pass to a child that shall keep the lock if this process dies."""
        assert self._descriptor is not None
        return self._descriptor

    def note(self, pid: int) -> None:
        """Write down which process holds the lock."""
        assert self._descriptor is not None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"pid": pid, "host": socket.gethostname(), "since": since})
        with contextlib.suppress(OSError):  # a full disk: the lock is held all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode() + b"\n", 0)

    def holder(self) -> str:
        """Return the holder in words: ``pid 12, since 2026-01-31 12:00:00 UTC``.

        Another machine, or container, is named, since its process ids mean nothing here.
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
                # Writable: on network file systems an exclusive lock requires it.
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
            os.close(descriptor)  # the file was removed between opening and locking


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
