"""Ending tasks that run until they are told to stop."""

import asyncio
from collections.abc import Iterable

_RESPITE_SECONDS = 0.1


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended, however they end.

    Before Python 3.12 ``asyncio.wait_for``, which redis-py sends commands with, forgets a cancellation that
    comes at the moment at which what it waits for is done, so once is not always enough.

    Parameters
    ----------
    tasks : iterable of asyncio.Task
        None of which must refuse for good.
    """
    ending = list(tasks)
    running = set(ending)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_RESPITE_SECONDS)
    await asyncio.gather(*ending, return_exceptions=True)  # so that no error counts as unseen
