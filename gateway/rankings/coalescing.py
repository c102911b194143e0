"""Joins single calls into few for many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Answers questions that come singly with calls for several.

    A question that comes alone leaves at once; those that come while a call is under way leave together when
    it is back, or as soon as they fill another one. So nothing waits for a timer, the more is asked, the more
    a call carries, and a long turn of the event loop, several of which a call takes, does not limit the rate.

    Parameters
    ----------
    fetch : callable
        Answers several questions, in their order.
    limit : int
        Most questions of a call.
    """

    def __init__(self, fetch: Callable[[list[K]], Awaitable[Sequence[V]]], limit: int) -> None:
        self._fetch = fetch
        self._limit = limit
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V:
        """Return the answer to one question; an error of a call is raised to all that it should answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[V] = loop.create_future()
        self._waiting.append((key, future))
        if not self._tasks or len(self._waiting) % self._limit == 0:
            self._tasks.add(loop.create_task(self._run()))
        return await future

    async def _run(self) -> None:
        batch: list[tuple[K, asyncio.Future[V]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                try:
                    values = await self._fetch([key for key, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                            future.exception()  # the caller may have left
                else:
                    for (_, future), value in zip(batch, values, strict=True):
                        if not future.done():
                            future.set_result(value)
        finally:
            # Not by a callback: a question before that has run would wait for a call that is over.
            self._tasks.discard(cast(asyncio.Task[None], asyncio.current_task()))
            for _, future in batch + self._waiting:  # after a cancellation
                future.cancel()
            self._waiting = []
