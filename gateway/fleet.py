"""Who is there to work: read from Redis twice a second, so that a request asks memory."""

import asyncio
import contextlib

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.problems import NoWorkers, QueueFull, QueueUnreachable
from shared import keys
from shared.broker import Heartbeat, read_heartbeats
from shared.contract import QueueName

log = structlog.get_logger(__name__)


class Fleet:
    """The workers as their heartbeats show them.

    Parameters
    ----------
    queue : redis.asyncio.Redis
        Redis of the queue.
    queue_cap : int
        Waiting jobs above which new work is refused.
    version : str or None
        Model version whose answers count as fresh until a worker says otherwise.
    """

    def __init__(self, queue: redis.asyncio.Redis, queue_cap: int, version: str | None) -> None:
        self._queue = queue
        self._queue_cap = queue_cap
        self._task: asyncio.Task[None] | None = None
        self.reachable = False
        self.serving: list[Heartbeat] = []
        self.training: list[Heartbeat] = []
        self.waiting_jobs = 0
        self.versions: frozenset[str] = frozenset({version} if version else ())
        """Model versions in service; when the last worker is gone, those that it had."""

    async def start(self) -> None:
        """Look once, then keep looking."""
        await self._look()
        self._task = asyncio.create_task(self._keep_looking(), name="fleet")

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def newest_version(self) -> str | None:
        """The newest model version in service; names begin with the time."""
        return max(self.versions, default=None)

    def require_capacity(self) -> None:
        """Refuse new work that nobody would do in time.

        Raises
        ------
        QueueUnreachable, NoWorkers, QueueFull
        """
        if not self.reachable:
            raise QueueUnreachable("Redis does not answer; try again soon.")
        if not any(worker.model_version for worker in self.serving):
            what = "Workers wait for a first model." if self.serving else "No worker is running."
            raise NoWorkers(f"{what} Answers that were computed before are still served.")
        if self.waiting_jobs > self._queue_cap:
            raise QueueFull(f"{self.waiting_jobs} jobs wait already; try again soon.")

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(keys.HEARTBEAT_INTERVAL.total_seconds())
            await self._look()

    async def _look(self) -> None:
        try:
            self.serving = await read_heartbeats(self._queue, QueueName.SERVE)
            self.training = await read_heartbeats(self._queue, QueueName.TRAIN)
            self.waiting_jobs = int(await self._queue.llen(f"rq:queue:{QueueName.SERVE}"))
        except (RedisError, OSError) as error:
            if self.reachable:
                log.warning("the queue does not answer", reason=str(error))
            self.reachable = False
            return
        self.reachable = True
        versions = frozenset(worker.model_version for worker in self.serving if worker.model_version)
        if versions:
            self.versions = versions
