"""Limits the number of connections, and for how long each may keep the gateway waiting."""

import asyncio
import heapq
import math
import resource
import time
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Protocol

import structlog

from shared.settings import GatewaySettings

log = structlog.get_logger(__name__)

MOST_HEADERS = 100
"""Header lines of a request."""

_TICK_SECONDS = 0.5
_LINGER = timedelta(seconds=2)

_MOST_CONNECTIONS = 10_000
"""As many as are accepted where the operating system would allow more: each may take some 100 KB."""

_OTHER_FILES = 256
"""Databases, connections to Redis, logs."""

_CLOSED_AT_ONCE = 64
_CLOSED_SHARE = 8
"""When there is no room so many idle connections are closed, or this part of all if that is less: to find the
oldest takes a look at all, and the files of those that were closed are free only a turn later."""

_COMPLAINT_SECONDS = 5.0


class LimitedConnection(Protocol):
    """A connection as :class:`Limits` needs it."""

    check_at: int
    """Tick at which :meth:`check` is due; set anew whenever something else is waited for."""

    def check(self) -> None:
        """Close this connection if a time limit has passed."""

    def idle_since(self) -> int | None:
        """Return the tick since which this connection is idle, None if it is not."""

    def end_idle(self) -> bool:
        """Close this connection unless a request has just come; tell whether it was closed."""


class Limits:
    """Enforces the limits on all connections of a gateway, with one timer for all of them.

    Time is counted in ticks. While this process stands still, time does too: what clients sent meanwhile is
    read before they count as late.

    Parameters
    ----------
    settings : GatewaySettings
        The limits.
    present : set of LimitedConnection
        The connections that there are.

    Attributes
    ----------
    now : int
        The present tick.
    header, body, send, keep_alive, linger : int
        Limits in ticks.
    head_bytes : int
        Largest size of a request's line and headers.
    most : int
        Largest number of connections.
    origins : frozenset of str
        Origins whose pages may read why a request was refused; ``*`` for all.
    """

    def __init__(self, settings: GatewaySettings, present: AbstractSet[LimitedConnection]) -> None:
        self.now = 0
        self.header = _ticks(settings.header_timeout)
        self.body = _ticks(settings.body_timeout)
        self.send = _ticks(settings.send_timeout)
        self.keep_alive = _ticks(settings.keep_alive)
        self.linger = _ticks(_LINGER)
        self.head_bytes = settings.max_header_kb * 1024
        self.most = _most_connections(settings.max_connections)
        self.origins = frozenset(settings.cors_origins)
        self._present = present
        self._complaints: dict[str, _Complaint] = {}
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def are_reached(self, others: int = 0) -> bool:
        """Tell whether the most connections that are allowed are open.

        Parameters
        ----------
        others : int
            Connections that are not yet among those present.
        """
        return len(self._present) + others >= self.most

    def end_idle(self) -> int:
        """Close some idle connections, those first that have been idle longest, and return how many."""
        idle = [
            (since, number, connection)
            for number, connection in enumerate(self._present)
            if (since := connection.idle_since()) is not None
        ]
        most = max(1, min(_CLOSED_AT_ONCE, self.most // _CLOSED_SHARE))
        return sum(connection.end_idle() for _, _, connection in heapq.nsmallest(most, idle))

    def complain(self, event: str, **details: object) -> None:
        """Log a warning, or count it if there was the same a moment ago."""
        complaint = self._complaints.setdefault(event, _Complaint())
        complaint.times += 1
        now = time.monotonic()
        if now >= complaint.due:
            log.warning(event, times=complaint.times, **details)
            complaint.times, complaint.due = 0, now + _COMPLAINT_SECONDS

    def _tick(self) -> None:
        self._timer = self._loop.call_later(
            _TICK_SECONDS, self._tick
        )  # first: whatever happens, time goes on
        self.now += 1
        for connection in [one for one in self._present if one.check_at <= self.now]:
            try:
                connection.check()
            except Exception:
                log.exception("a connection's time limits could not be checked")
                connection.check_at = self.now + self.send


class _Complaint:
    def __init__(self) -> None:
        self.times = 0
        self.due = 0.0


def _ticks(duration: timedelta) -> int:
    """Return so many ticks that at least this time passes."""
    return math.ceil(duration.total_seconds() / _TICK_SECONDS) + 1


def _most_connections(wanted: int | None) -> int:
    """Return how many connections the limit of open files allows, after raising it if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = (wanted or _MOST_CONNECTIONS) + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted or _MOST_CONNECTIONS
    allowed = soft - min(_OTHER_FILES, soft // 2)
    if wanted is not None and wanted > allowed:
        log.warning(
            "fewer connections than MAX_CONNECTIONS: open files are limited", most=allowed, files=soft
        )
    return min(wanted or _MOST_CONNECTIONS, allowed)
