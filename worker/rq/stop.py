"""Ending a worker by a signal without losing a job."""

import signal
import time
from collections.abc import Callable
from types import FrameType

_INSIST_SECONDS = 1.0


class Stop:
    """Whether this process was asked to end by SIGTERM or SIGINT.

    A signal may come at any moment, also while another one is handled, so its handler only sets a flag: an
    exception would lose the job that was just taken from the queue, and the lock inside a
    ``threading.Event`` may be held by the very thread that the signal interrupts.

    Attributes
    ----------
    requested : bool
        Whether to end after the job that runs.
    insisted : callable or None
        Called if a second signal comes more than a second after the first.
    """

    def __init__(self) -> None:
        self.requested = False
        self.insisted: Callable[[], None] | None = None
        self._first = 0.0

    def listen(self) -> None:
        """Handle both signals; in the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Hear no more: an interpreter that ends takes the handler away before it is gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def request(self) -> None:
        """Ask for the end."""
        self.requested = True

    def wait(self, seconds: float) -> bool:
        """Return after some seconds, or soon after the request; tell whether there is one."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self.requested

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self.requested:
            self._first = time.monotonic()
            self.requested = True
        elif self.insisted is not None and time.monotonic() - self._first > _INSIST_SECONDS:
            self.insisted()
