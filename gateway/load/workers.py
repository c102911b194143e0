"""Knows which workers are alive, read from Redis twice a second, so that a request asks memory."""

import re
from collections.abc import Callable

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway import background_tasks
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.queue.clock import RedisClock
from shared.queue.damage import is_damage, refusal
from shared.queue.heartbeat import Heartbeat, read_heartbeats
from shared.queue.rq_keys import queue_key

log = structlog.get_logger(__name__)

_TOTAL = re.compile(rb"[0-9]{1,18}")


class Workers:
    """Knows the workers by their heartbeats.

    Parameters
    ----------
    queue : redis.asyncio.Redis
        Redis of the queue.
    version : str or None
        Model version whose answers count as fresh until a worker says otherwise.
    on_change : callable
        Called when other versions are in service.
    cache : redis.asyncio.Redis or None
        Redis of the rankings, if that is another one.
    """

    def __init__(
        self,
        queue: redis.asyncio.Redis,
        version: str | None,
        on_change: Callable[[], None],
        cache: redis.asyncio.Redis | None = None,
    ) -> None:
        self._queue = queue
        self._cache = cache
        self.has_own_cache = cache is not None
        self._on_change = on_change
        self.reachable = False
        self.refusal: str | None = None
        """Why Redis refuses what it is asked, e.g. to store anything; None while it does not."""
        self.cache_refusal: str | None = None
        """The same of a cache of its own."""
        self._looking = self._asked = False
        self.serving: list[Heartbeat] = []
        self.able_workers = 0
        """Those of them that have a model."""
        self.warming: list[Heartbeat] = []
        self.training: list[Heartbeat] = []
        self.waiting_jobs = 0
        self.versions: frozenset[str] = frozenset({version} if version else ())
        """Model versions in service; when the last worker is gone, those that it had."""
        self.clock = RedisClock()
        """Redis' time, by which deadlines go."""
        self.counters: dict[str, int] = {}
        """Totals over all workers, see :class:`shared.contract.keys.Counter`."""

    async def start(self, supervisor: background_tasks.Supervisor) -> None:
        """Look once, then keep looking."""
        await self.look()
        interval = keys.HEARTBEAT_INTERVAL.total_seconds()
        supervisor.every(interval, "workers", self.look)
        if self._cache is not None:
            supervisor.every(interval, "cache", self.look_at_cache)

    @property
    def newest_version(self) -> str | None:
        """The newest model version in service; names begin with the time."""
        return max(self.versions, default=None)

    async def look(self) -> None:
        """Read which workers are alive; that Redis does not answer is noted, not raised.

        A call that comes while it is being done has it done once more, however many calls there are.
        """
        self._asked = True
        if self._looking:
            return
        self._looking = True
        try:
            while self._asked:
                self._asked = False
                await self._look()
        finally:
            self._looking = False

    async def look_at_cache(self) -> None:
        """See whether the cache, if it is a Redis of its own, stores what workers write."""
        assert self._cache is not None
        try:
            await self._cache.set(keys.CHECK, "1", px=keys.CHECK_TTL)
        except (RedisError, OSError) as error:
            if self.cache_refusal is None:
                log.warning("the cache cannot be used", reason=str(error))
            self.cache_refusal = refusal(error) or "Redis does not answer"
        else:
            self.cache_refusal = None

    async def _read(self) -> None:
        """Ask Redis for everything, and whether it stores anything; what is damaged there counts as none.

        Raises
        ------
        RedisError, OSError
            If it does not answer.
        """
        async with self._queue.pipeline(transaction=False) as pipeline:
            pipeline.set(keys.CHECK, "1", px=keys.CHECK_TTL)
            pipeline.time()
            pipeline.llen(queue_key(QueueName.SERVE))
            pipeline.hmget(keys.COUNTERS, [*keys.Counter])
            for queue in QueueName:
                pipeline.smembers(keys.workers(queue))
            replies = await pipeline.execute(raise_on_error=False)
        written, now, waiting, totals, *members = (
            None if isinstance(reply, Exception) and is_damage(reply) else reply for reply in replies
        )
        for reply in (now, waiting, totals, *members):
            if isinstance(reply, Exception):
                raise reply
        self._note_refusal(written)
        if isinstance(now, tuple):
            self.clock.set(now)
        self.waiting_jobs = waiting or 0
        self.counters = {
            counter.value: int(total)
            for counter, total in zip(keys.Counter, totals or (), strict=False)
            if total is not None and _TOTAL.fullmatch(total)
        }
        listed = dict(zip(QueueName, (found or () for found in members), strict=True))
        alive = await read_heartbeats(self._queue, listed)
        self.serving = alive[QueueName.SERVE]
        self.warming = alive[QueueName.WARM]
        self.training = alive[QueueName.TRAIN]
        self.able_workers = sum(worker.model_version is not None for worker in self.serving)

    def _note_refusal(self, written: object) -> None:
        """Note what came of the attempt to write: without room, heartbeats cannot be written either."""
        before, self.refusal = self.refusal, None
        if isinstance(written, Exception):
            self.refusal = refusal(written) or f"Redis refuses writes: {written}"
        if self.refusal != before:
            if self.refusal:
                log.warning("the queue cannot be used", reason=self.refusal)
            else:
                log.info("the queue can be used again")

    async def _look(self) -> None:
        try:
            await self._read()
        except (RedisError, OSError) as error:
            if self.reachable:
                log.warning("the queue does not answer", reason=str(error))
            self.reachable = False
            self.refusal = refusal(error)
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
