"""Rankings in Redis, as gateways read them."""

import time
from typing import NamedTuple

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.coalescing import Coalescer
from shared import keys
from shared.contract import Kind
from shared.ranking import Ranking

_READS_TOGETHER = 128
_AWAY_SECONDS = 0.5

_READ = """
local found = {}
for i, key in ipairs(KEYS) do
  local fields = redis.call('HMGET', key, ARGV[i], ARGV[#KEYS + 1])
  found[2 * i - 1], found[2 * i] = fields[1], fields[2]
end
return found
"""
"""One command for many rankings: for a pipeline of 64 redis-py alone takes a millisecond."""


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
        self._read = connection.register_script(_READ)
        self._away_until = 0.0
        self._reads: Coalescer[Question, CachedRanking] = Coalescer(self.read_many, _READS_TOGETHER)

    async def read(self, question: Question) -> CachedRanking:
        """Return what the cache holds for a question.

        Raises
        ------
        RedisError
            If it does not answer; for a moment after that nobody waits for it again.
        """
        if time.monotonic() < self._away_until:
            raise RedisConnectionError("the cache did not answer a moment ago")
        try:
            return await self._reads.ask(question)
        except (RedisError, OSError):
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise

    async def read_many(self, questions: list[Question]) -> list[CachedRanking]:
        """Return what the cache holds for several questions, in one round trip."""
        places = [keys.ranking(kind, entity_id) for kind, entity_id in questions]
        replies: list[bytes | None] = await self._read(
            keys=[key for key, _ in places], args=[*(field for _, field in places), keys.CHANGES_FIELD]
        )
        return [
            CachedRanking(Ranking.from_bytes(packed) if packed else None, int(changes or 0))
            for packed, changes in zip(replies[::2], replies[1::2], strict=True)
        ]
