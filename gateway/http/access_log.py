"""The access log: a line for each unusual request, sums of the others.

To write a line takes longer than an answer from memory, and a tenth of the gateway's time for an answer from
a worker.
"""

import logging
import time

import structlog

log = structlog.get_logger("gateway.access")

_QUIET_PATHS = frozenset({"/livez", "/readyz"})


def write(
    request_id: str, method: str, path: str, status: int, started: float, *, usual: bool = False
) -> None:
    """Log how a request ended.

    Parameters
    ----------
    request_id : str
        Its id.
    method, path : str
        What was asked.
    status : int
        Of the response.
    started : float
        ``time.perf_counter()`` when it came.
    usual : bool
        Whether it counts in a :class:`RequestCounts`, so that the line is for ``LOG_LEVEL=DEBUG`` only.
    """
    if path not in _QUIET_PATHS:
        ms = round((time.perf_counter() - started) * 1000, 2)
        tell = log.debug if usual else log.info
        tell("request", request_id=request_id, method=method, path=path, status=status, ms=ms)


def tells_all() -> bool:
    """Tell whether usual requests are logged, too."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)


class RequestCounts:
    """Counts the rankings that were answered with 200 or 304, since it was last reported.

    Attributes
    ----------
    redis, workers : int
        Answers that Redis had, and that workers computed.
    slowest : float
        Seconds that the slowest of those took.
    """

    def __init__(self) -> None:
        self.redis = self.workers = 0
        self.slowest = 0.0

    def add(self, started: float, *, cached: bool) -> None:
        """Count an answer that began at a time of ``time.perf_counter()``."""
        self.redis += cached
        self.workers += not cached
        self.slowest = max(self.slowest, time.perf_counter() - started)

    def report(self, memory: int, kept: int) -> None:
        """Log the sums, if anything was answered, and start anew.

        Parameters
        ----------
        memory : int
            Answers that memory had.
        kept : int
            Answers that it has now.
        """
        if memory or self.redis or self.workers:
            log.info(
                "answered",
                memory=memory,
                redis=self.redis,
                workers=self.workers,
                slowest_ms=round(self.slowest * 1000, 2),
                kept=kept,
            )
        self.redis = self.workers = 0
        self.slowest = 0.0
