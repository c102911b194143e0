"""One line a request.

What a cache answers is counted instead (:mod:`gateway.popularity`): writing a line takes longer than an
answer from memory.
"""

import time

import structlog

log = structlog.get_logger("gateway.access")

_QUIET_PATHS = frozenset({"/livez", "/readyz"})


def write(request_id: str, method: str, path: str, status: int, started: float) -> None:
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
    """
    if path not in _QUIET_PATHS:
        ms = round((time.perf_counter() - started) * 1000, 2)
        log.info("request", request_id=request_id, method=method, path=path, status=status, ms=ms)
