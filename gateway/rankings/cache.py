"""Reads rankings from Redis, many in one round trip."""

import time

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.rankings.coalescing import Coalescer
from shared.contract.question import Question
from shared.rankings.store import READ_SCRIPT, CachedRanking, parse_replies, read_arguments

_READS_TOGETHER = 128
_AWAY_SECONDS = 0.5


class RankingCache:
    """Reads rankings, those that are wanted at the same time in one round trip.

    Parameters
    ----------
    connection : redis.asyncio.Redis
        Of the rankings.
    """

    def __init__(self, connection: redis.asyncio.Redis) -> None:
        self._read = connection.register_script(READ_SCRIPT)
        self._away_until = 0.0
        self._reads: Coalescer[Question, CachedRanking] = Coalescer(self.read_many, _READS_TOGETHER)

    async def read(self, question: Question) -> CachedRanking:
        """Return what the cache holds for a question.

        Raises
        ------
        RedisError
            If it does not answer; for a moment after that it is not asked again.
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
        names, arguments = read_arguments(questions)
        return parse_replies(questions, await self._read(keys=names, args=arguments))
