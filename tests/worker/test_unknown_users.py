"""Users who have rated nothing are neither ranked nor computed ahead."""

import time

import redis

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.jobs import enqueue_rankings
from shared.rankings import claims
from shared.rankings.ranking import Ranking
from tests.worker.conftest import run_jobs
from worker.jobs.context import ServingContext
from worker.serving import Serving
from worker.warming import warm

MADE_UP = 700_001


def run(context: ServingContext, queue: QueueName, ids: list[int]) -> list[News]:
    """Run a job in this process and return what was published."""
    client = context.queue
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.ANSWERS_CHANNEL)
        pubsub.get_message(timeout=5)
        enqueue_rankings(
            client, RULES[Kind.SUGGESTED].job, ids, job_id="0" * 32, deadline=time.time() + 60, queue=queue
        )
        run_jobs(context, queue)
        told = []
        while message := pubsub.get_message(timeout=0.5):
            news = News.from_text(message["data"].decode())
            assert news is not None
            told.append(news)
        return told


def stored(client: redis.Redis, user_id: int) -> Ranking | None:
    packed = client.hget(*keys.ranking(Kind.SUGGESTED, user_id))
    return Ranking.from_bytes(packed) if isinstance(packed, bytes) else None


def test_a_job_says_who_does_not_exist_and_answers_the_others(
    redis_client: redis.Redis, context: ServingContext
) -> None:
    for user_id in (1, MADE_UP, 2):
        redis_client.set(keys.claim(Kind.SUGGESTED, user_id), "x")
    told = run(context, QueueName.SERVE, [1, MADE_UP, 2])
    assert told == [
        News(RankingEvent.WRITTEN, Kind.SUGGESTED, [1, 2]),
        News(RankingEvent.UNKNOWN, Kind.SUGGESTED, [MADE_UP]),
    ]
    expected = context.serving.rank([Question(Kind.SUGGESTED, 1), Question(Kind.SUGGESTED, 2)])
    found = [stored(redis_client, user_id) for user_id in (1, 2)]
    for ranking, own in zip(found, expected, strict=True):
        assert ranking is not None
        assert own is not None
        assert ranking.to_bytes() == own.to_bytes()
    assert stored(redis_client, MADE_UP) is None
    assert not redis_client.exists(keys.claim(Kind.SUGGESTED, MADE_UP))
    assert redis_client.get(keys.claim(Kind.SUGGESTED, 1)) == claims.SETTLED
    assert redis_client.hgetall(keys.COUNTERS) == {b"computed": b"2"}


def test_a_job_for_nobody_who_exists(redis_client: redis.Redis, context: ServingContext) -> None:
    told = run(context, QueueName.SERVE, [MADE_UP])
    assert told == [News(RankingEvent.UNKNOWN, Kind.SUGGESTED, [MADE_UP])]
    assert redis_client.hgetall(keys.COUNTERS) == {}


def test_who_does_not_exist_is_not_warmed_and_no_longer_counts_as_asked(
    redis_client: redis.Redis, context: ServingContext
) -> None:
    for user_id in (1, MADE_UP):
        redis_client.zadd(keys.ASKED, {keys.asked(Kind.SUGGESTED, user_id): 5})
    told = run(context, QueueName.WARM, [1, MADE_UP])
    assert told == [News(RankingEvent.WRITTEN, Kind.SUGGESTED, [1])]
    assert stored(redis_client, 1) is not None
    assert stored(redis_client, MADE_UP) is None
    assert redis_client.zrange(keys.ASKED, 0, -1) == [keys.asked(Kind.SUGGESTED, 1).encode()]


def test_warming_in_bulk_leaves_out_who_does_not_exist(redis_client: redis.Redis, serving: Serving) -> None:
    done = warm(serving, redis_client, Kind.SUGGESTED, [1, MADE_UP, 2])
    assert (done.computed, done.fresh) == (2, 0)
    assert stored(redis_client, MADE_UP) is None
