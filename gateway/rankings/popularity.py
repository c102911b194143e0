"""Counts what is asked most, and has it computed before it is asked again."""

import time
import uuid
from collections import Counter
from typing import Any

import redis
import redis.asyncio
import structlog

from gateway.load.workers import Workers
from gateway.rankings.answer_cache import AnswerCache
from shared.contract import keys
from shared.contract.jobs import BATCH_LIMIT, QueueName
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.queue.jobs import ranking_commands

log = structlog.get_logger(__name__)

_FLUSH_LIMIT = 1000
_KEPT = 10_000
_WARMED = 1_000
"""What is asked most and computed anew after a new model: about a second's work of one worker."""

_WARM_DEADLINE_SECONDS = 60.0
_HALF_LIFE_SECONDS = 7 * 24 * 3600.0
_ORIGIN_SECONDS = 1_767_225_600.0  # 2026-01-01


class Popularity:
    """Counts what is asked, and asks for it first when everything has to be computed anew.

    A count of today weighs twice as much as one of a week ago: each is added with a weight that doubles every
    week, so that nothing ever has to be aged (forward decay: Cormode et al., ICDE 2009).

    Parameters
    ----------
    queue : redis.asyncio.Redis
        Of the counts.
    jobs : redis.Redis
        The same Redis for RQ, which only puts commands together; nothing is sent through it.
    workers : Workers
        Tells whether one of them warms.
    answer_cache : AnswerCache
        Counts what it answers itself.
    """

    def __init__(
        self, queue: redis.asyncio.Redis, jobs: redis.Redis, workers: Workers, answer_cache: AnswerCache
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._workers = workers
        self._answer_cache = answer_cache
        self._counts: Counter[str] = Counter()
        self._warmed: tuple[str, str] | None = None

    def count(self, member: str) -> None:
        """Note that something was asked for, see :func:`shared.contract.keys.asked`."""
        self._counts[member] += 1

    async def flush(self) -> None:
        """Add the counts to those of all gateways.

        Counts that cannot be written are lost: they only say what to compute first.
        """
        counts, self._counts = self._counts, Counter()
        counts.update(self._answer_cache.take_hits())
        if counts:
            weight = 2.0 ** ((time.time() - _ORIGIN_SECONDS) / _HALF_LIFE_SECONDS)
            async with self._queue.pipeline(transaction=False) as pipeline:
                for member, n in counts.most_common(_FLUSH_LIMIT):
                    pipeline.zincrby(keys.ASKED, n * weight, member)
                pipeline.zremrangebyrank(keys.ASKED, 0, -_KEPT - 1)
                pipeline.expire(keys.ASKED, keys.ASKED_TTL)
                await pipeline.execute()

    async def warm(self, fingerprint: str) -> None:
        """Have the most-asked rankings computed, once after each change of the model or the data.

        Parameters
        ----------
        fingerprint : str
            Of the data.
        """
        version = self._workers.newest_version
        if version is None or not self._workers.warming or (version, fingerprint) == self._warmed:
            return
        note = keys.warming(version, fingerprint)
        is_ours = await self._queue.set(note, "1", nx=True, ex=keys.WARMING_TTL)
        self._warmed = version, fingerprint
        if not is_ours:
            return  # another gateway does it
        asked: Any = await self._queue.zrevrange(keys.ASKED, 0, _WARMED - 1)
        wanted = [question for member in asked if (question := keys.parse_asked(member)) is not None]
        if len(wanted) < len(asked):  # what is none of ours shall not take the place of what is
            await self._queue.zrem(keys.ASKED, *(m for m in asked if keys.parse_asked(m) is None))
        if wanted:
            await self._queue_jobs(wanted)
            log.info("warming", version=version, data=fingerprint, rankings=len(wanted))

    async def _queue_jobs(self, wanted: list[Question]) -> None:
        """Queue what is wanted; in no thread, since a database that hangs may hold all of them."""
        async with self._queue.pipeline(transaction=True) as pipeline:
            for kind in Kind:
                ids = [question.subject for question in wanted if question.kind is kind]
                for start in range(0, len(ids), BATCH_LIMIT):
                    for words in ranking_commands(
                        self._jobs,
                        RULES[kind].job,
                        ids[start : start + BATCH_LIMIT],
                        job_id=uuid.uuid4().hex,
                        deadline=self._workers.clock.now() + _WARM_DEADLINE_SECONDS,
                        queue=QueueName.WARM,
                    ):
                        pipeline.execute_command(*words)
            await pipeline.execute()
