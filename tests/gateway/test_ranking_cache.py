"""Rankings as gateways read them from Redis."""

import asyncio
import os
import signal
import time

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.rankings.cache import RankingCache
from shared.contract import keys
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.queue.connections import connect_async
from shared.rankings.changes import announce_changes
from shared.rankings.store import CachedRanking, write_rankings
from shared.redis_server.server import RedisServer
from tests.gateway.asking import ranking


def read(url: str, *questions: Question) -> list[CachedRanking]:
    async def run() -> list[CachedRanking]:
        connection = connect_async(url, 1.5)
        try:
            cache = RankingCache(connection)
            together = await cache.read_many(list(questions))
            assert await asyncio.gather(*map(cache.read, questions)) == together
            return together
        finally:
            await connection.aclose()

    return asyncio.run(run())


def test_each_question_gets_its_own_ranking_and_count_of_changes(
    redis_client: redis.Redis, redis_url: str
) -> None:
    write_rankings(
        redis_client,
        [
            (Question(Kind.SUGGESTED, 1), ranking(1)),
            (Question(Kind.SUGGESTED, 2), ranking(2)),
            (Question(Kind.SIMILAR, 1), ranking(10, kind=Kind.SIMILAR)),
        ],
    )
    announce_changes(redis_client, redis_client, [2, 3, 3])
    redis_client.hset(*keys.ranking(Kind.SUGGESTED, 5), b"not a ranking")
    asked = [Question(Kind.SUGGESTED, subject) for subject in (3, 2, 1, 4, 5)]
    assert read(redis_url, *asked, Question(Kind.SIMILAR, 1), Question(Kind.SIMILAR, 2)) == [
        CachedRanking(None, 2),
        CachedRanking(ranking(2), 1),
        CachedRanking(ranking(1), 0),
        CachedRanking(None, 0),
        CachedRanking(None, 0),
        CachedRanking(ranking(10, kind=Kind.SIMILAR), 0),
        CachedRanking(None, 0),
    ]


def test_after_a_failure_nobody_waits_for_half_a_second(
    redis_server: RedisServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(Kind.SUGGESTED, 1)
    real = time.monotonic
    ahead = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])

    async def run() -> None:
        connection = connect_async(redis_url, 0.3)
        cache = RankingCache(connection)
        assert (await cache.read(question)).ranking is None
        assert redis_server.pid is not None
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(redis.TimeoutError):
                await cache.read(question)
            began = real()
            with pytest.raises(RedisConnectionError, match="did not answer a moment ago"):
                await cache.read(question)
            assert real() - began < 0.25, "it was not asked"
            ahead[0] += 0.51
            with pytest.raises(redis.TimeoutError):
                await cache.read(question)
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
        with pytest.raises(RedisConnectionError, match="did not answer a moment ago"):
            await cache.read(question)
        ahead[0] += 0.51
        assert (await cache.read(question)).ranking is None
        await connection.aclose()

    asyncio.run(run())
