"""Who is there to work: read from Redis twice a second, so that a request asks memory."""

from collections.abc import Callable

import redis.asyncio
import structlog
from redis.exceptions import RedisError
from rq.utils import as_text

from gateway import tasks
from gateway.admission import retry_after
from gateway.problems import NoWorkers, QueueFull, QueueUnreachable
from shared import keys
from shared.broker import Heartbeat, read_heartbeats
from shared.clock import RedisClock
from shared.contract import QueueName

log = structlog.get_logger(__name__)

_UNKNOWN_JOB_SECONDS = 0.1
"""Of a job, before any worker has done one: rather too long than too short."""


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
    on_change : callable
        Called when other versions are in service.
    """

    def __init__(
        self,
        queue: redis.asyncio.Redis,
        queue_cap: int,
        version: str | None,
        on_change: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._on_change = on_change
        self._queue_cap = queue_cap
        self.reachable = False
        self.serving: list[Heartbeat] = []
        self.able_workers = 0
        """Those of them that have a model and answer what is asked."""
        self.warming: list[Heartbeat] = []
        self.training: list[Heartbeat] = []
        self.waiting_jobs = 0
        self.versions: frozenset[str] = frozenset({version} if version else ())
        """Model versions in service; when the last worker is gone, those that it had."""
        self.clock = RedisClock()
        """Of deadlines."""
        self.counters: dict[str, int] = {}
        """Totals over all workers, see :class:`shared.keys.Counter`."""

    async def start(self, supervisor: tasks.Supervisor) -> None:
        """Look once, then keep looking."""
        await self.look()
        supervisor.every(keys.HEARTBEAT_INTERVAL.total_seconds(), "workers", self.look)

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
        if not self.able_workers:
            what = "Workers wait for a first model." if self.serving else "No worker is running."
            raise NoWorkers(f"{what} Answers that were computed before are still served.")
        if self.waiting_jobs > self._queue_cap:
            raise self._queue_full("try again soon")

    def require_leisure(self) -> None:
        """Refuse what can wait while users wait: from half of the cap on.

        Raises
        ------
        QueueFull
        """
        if self.waiting_jobs > self._queue_cap / 2:
            raise self._queue_full("they come first")

    def _queue_full(self, advice: str) -> QueueFull:
        seconds = max((worker.job_seconds for worker in self.serving), default=0.0) or _UNKNOWN_JOB_SECONDS
        pace = max(1, self.able_workers) / seconds
        return QueueFull(
            f"{self.waiting_jobs} jobs with questions of users wait already; {advice}.",
            {"Retry-After": str(retry_after(self.waiting_jobs, pace))},
        )

    async def look(self) -> None:
        """Read how it is at this moment; that Redis does not answer is noted, not raised."""
        try:
            self.serving = await read_heartbeats(self._queue, QueueName.SERVE)
            self.able_workers = sum(worker.model_version is not None for worker in self.serving)
            self.warming = await read_heartbeats(self._queue, QueueName.WARM)
            self.training = await read_heartbeats(self._queue, QueueName.TRAIN)
            self.waiting_jobs = int(await self._queue.llen(f"rq:queue:{QueueName.SERVE}"))
            self.clock.set(await self._queue.time())
            counters = await self._queue.hgetall(keys.COUNTERS)
            self.counters = {as_text(name): int(value) for name, value in counters.items()}
        except (RedisError, OSError) as error:
            if self.reachable:
                log.warning("the queue does not answer", reason=str(error))
            self.reachable = False
            return
        self.reachable = True
        versions = frozenset(worker.model_version for worker in self.serving if worker.model_version)
        if versions:
            # What is warmed may be a little ahead of what is served; what is behind is not asked for.
            newest = max(versions)
            versions |= {
                w.model_version for w in self.warming if w.model_version and w.model_version > newest
            }
        if versions and versions != self.versions:
            self.versions = versions
            self._on_change()
