"""Rankings in Redis, as gateways read them."""

from typing import Any, NamedTuple

import redis.asyncio

from gateway.coalescing import Coalescer
from shared import keys
from shared.contract import Kind
from shared.ranking import Ranking

_READS_TOGETHER = 128


class Question(NamedTuple):
    """What is to be ranked: for which user, or movies like which one."""

    kind: Kind
    entity_id: int


class CachedRanking(NamedTuple):
    """What the cache holds for a question.

    Attributes
    ----------
    ranking : Ranking or None
        The ranking, of whatever version and data.
    changes : int
        How often the user's ratings have changed by now; a ranking of another count is stale.
    """

    ranking: Ranking | None
    changes: int


class RankingCache:
    """Reads rankings, those that are wanted at the same time in one round trip.

    Parameters
    ----------
    connection : redis.asyncio.Redis
        Of the rankings.
    """

    def __init__(self, connection: redis.asyncio.Redis) -> None:
        self._connection = connection
        self._reads: Coalescer[Question, CachedRanking] = Coalescer(self.read_many, _READS_TOGETHER)

    async def read(self, question: Question) -> CachedRanking:
        """Return what the cache holds for a question."""
        return await self._reads.ask(question)

    async def read_many(self, questions: list[Question]) -> list[CachedRanking]:
        """Return what the cache holds for several questions, in one round trip."""
        async with self._connection.pipeline(transaction=False) as pipeline:
            for kind, entity_id in questions:
                key, field = keys.ranking(kind, entity_id)
                pipeline.hmget(key, field, keys.CHANGES_FIELD)
            replies: list[list[Any]] = await pipeline.execute()
        return [
            CachedRanking(Ranking.from_bytes(packed) if packed else None, int(changes or 0))
            for packed, changes in replies
        ]
