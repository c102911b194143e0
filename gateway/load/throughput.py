"""Measures how fast questions are answered, and so how many of them can be answered in time."""

import math
import time
from collections import deque

from shared.contract.jobs import BATCH_LIMIT

TARGET_SECONDS = 0.5
"""How long an accepted question should wait at most: well below every sensible wait budget, and short enough
that people do not mind. More would only lengthen the queue, not the rate."""

_WINDOW_SECONDS = 1.0
_LIMIT_SECONDS = 0.005
"""How long a limit holds: under overload it is asked for ten thousand times a second."""

_FIRST_BATCHES = 8
"""Batches that each worker is given before its speed is known."""

_LONGEST_RETRY_SECONDS = 30


class Throughput:
    """Measures how fast questions are answered, and limits how many may be under way.

    By Little's law the wait is the number of questions under way divided by the rate at which they are
    answered, so the limit follows the rate that is seen. It holds whatever the model, the catalogue and the
    number of workers are.
    """

    def __init__(self) -> None:
        self._answered: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._busy_since: float | None = None
        self._limit = self._limit_until = 0.0
        self._limit_workers = -1

    def started(self) -> None:
        """Note that there is something to do."""
        if self._busy_since is None:
            self._busy_since = time.monotonic()

    def delivered(self, n: int, under_way: int) -> None:
        """Note that questions were answered.

        Parameters
        ----------
        n : int
            How many.
        under_way : int
            How many still are.
        """
        now = time.monotonic()
        self._answered.append((now, n))
        self._in_window += n
        self._forget(now)
        if under_way == 0:
            self._busy_since = None

    def limit(self, workers: int) -> float:
        """Return how many questions may be under way.

        Parameters
        ----------
        workers : int
            Workers that are able to answer.
        """
        now = time.monotonic()
        if now >= self._limit_until or workers != self._limit_workers:
            rate = self._rate(now)
            batches = BATCH_LIMIT * max(1, workers)
            self._limit = batches * _FIRST_BATCHES if rate is None else max(batches, rate * TARGET_SECONDS)
            self._limit_until, self._limit_workers = now + _LIMIT_SECONDS, workers
        return self._limit

    def _rate(self, now: float) -> float | None:
        """Return the questions answered a second, None if there was not enough to do to tell."""
        self._forget(now)
        if self._busy_since is None or now - self._busy_since < _WINDOW_SECONDS:
            return None
        return self._in_window / _WINDOW_SECONDS

    def _forget(self, now: float) -> None:
        while self._answered and self._answered[0][0] < now - _WINDOW_SECONDS:
            self._in_window -= self._answered.popleft()[1]


def retry_after(under_way: int, rate: float) -> int:
    """Return the whole seconds after which questions that are under way will be answered."""
    if rate <= 0:
        return _LONGEST_RETRY_SECONDS
    return max(1, min(_LONGEST_RETRY_SECONDS, math.ceil(under_way / rate)))
