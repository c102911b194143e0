"""Runs background tasks: none ends silently, and all of them end when they are told to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger(__name__)

_RESPITE_SECONDS = 0.1
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
_STABLE_SECONDS = 5.0
_EXPECTED = (RedisError, SQLAlchemyError, OSError)
"""Errors when a service beside us is away: they need no trace in the log."""


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


class TaskSet:
    """Short tasks that run beside the one that starts them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Start a task, which handles its own errors."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the event loop alone would not keep it alive
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel those that still run."""
        await end(self._tasks)


@dataclass
class Health:
    """How a background task is doing.

    Attributes
    ----------
    essential : bool
        Whether this process cannot answer rightly without it.
    restarts : int
        How often it failed and was started again.
    failure : str or None
        Why it failed last; None while it works.
    """

    essential: bool
    restarts: int = 0
    failure: str | None = field(default=None)


class Supervisor:
    """Runs background tasks, and starts those again that fail.

    A failure is logged once, until the task works again. The pause before the next start grows with each
    failure in a row, up to five seconds.

    Attributes
    ----------
    health : dict of str to Health
        Of each task by name.
    """

    def __init__(self) -> None:
        self.health: dict[str, Health] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def keep(self, name: str, work: Callable[[], Awaitable[None]], *, essential: bool = True) -> None:
        """Run work that has no end.

        Parameters
        ----------
        name : str
            For the log and for ``/readyz``.
        work : callable
            Is called again whenever it ends.
        essential : bool
            Whether this process cannot answer rightly without it.
        """
        self._start(name, self._keep(name, work), essential)

    def every(
        self, seconds: float, name: str, work: Callable[[], Awaitable[None]], *, essential: bool = True
    ) -> None:
        """Do something again and again, with a pause after each time; see :meth:`keep`."""
        self._start(name, self._repeat(seconds, name, work), essential)

    async def stop(self) -> None:
        """End all tasks."""
        await end(self._tasks)

    def _start(self, name: str, work: "asyncio._CoroutineLike[None]", essential: bool) -> None:
        self.health[name] = Health(essential)
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            steady = loop.call_later(_STABLE_SECONDS, self._works, name)
            try:
                await work()
                raise RuntimeError("it ended by itself")
            except Exception as error:
                self._failed(name, error)
            finally:
                steady.cancel()
            failures = 1 if loop.time() - began > _STABLE_SECONDS else failures + 1
            await asyncio.sleep(_pause(failures))

    async def _repeat(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_pause(failures) if failures else seconds)
            try:
                await work()
            except Exception as error:
                self._failed(name, error)
                failures += 1
            else:
                failures = 0
                self._works(name)

    def _failed(self, name: str, error: Exception) -> None:
        health = self.health[name]
        if health.failure is None:
            expected = isinstance(error, _EXPECTED)
            reason = str(getattr(error, "orig", error))
            log.error(
                "background task failed", task=name, reason=reason, exc_info=None if expected else error
            )
        health.failure = f"{type(error).__name__}: {error}"
        health.restarts += 1

    def _works(self, name: str) -> None:
        health = self.health[name]
        if health.failure is not None:
            log.info("background task works again", task=name, restarts=health.restarts)
            health.failure = None


def _pause(failures: int) -> float:
    return _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1]
