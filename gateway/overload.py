"""When this process itself falls behind."""

import asyncio

_LOOK_SECONDS = 0.05
_BEHIND_SECONDS = 0.25
_CAUGHT_UP_SECONDS = 0.1


class LoopLag:
    """Watches how late the event loop runs what is due.

    A gateway that is asked more than its core can handle would answer everybody, later and later. While it is
    behind, questions that are not in its memory are turned away before they become requests, which costs a
    tenth of an answer, so that the rest is answered in time.

    Attributes
    ----------
    behind : bool
        Whether to turn questions away.
    turned_away : int
        How many were; whoever reports them starts anew.
    """

    def __init__(self) -> None:
        self.behind = False
        self.turned_away = 0

    async def watch(self) -> None:
        """Look for as long as this process lives."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            lag = loop.time() - due
            # Two thresholds, so that it does not flicker between them.
            self.behind = lag > (_CAUGHT_UP_SECONDS if self.behind else _BEHIND_SECONDS)
