"""One clock for all processes of a service: that of Redis."""

import time


class RedisClock:
    """Redis' time, carried on by this machine's monotonic clock.

    Deadlines travel from one machine to another, whose clocks differ and may be set at any moment. Redis'
    time is read with each heartbeat, so all agree within milliseconds, and a clock that jumps is not
    noticed. Before the first reading this machine's own clock is taken.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None

    def set(self, reading: tuple[int, int]) -> None:
        """Set the clock by Redis' reply to ``TIME``: seconds and microseconds."""
        seconds, microseconds = reading
        self._ahead = int(seconds) + int(microseconds) / 1e6 - time.monotonic()

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time() if self._ahead is None else time.monotonic() + self._ahead
