"""What is asked most: counted by all gateways together, faded, bounded, and computed first after a change."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import redis
import redis.asyncio
from rq.job import Job

from gateway.load.workers import Workers
from gateway.rankings.answer_cache import Answer, AnswerCache
from gateway.rankings.popularity import Popularity
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.queue.connections import connect, connect_async
from shared.queue.jobs import open_queue
from tests.gateway.asking import DATA, VERSION, announce

DAY = 24 * 3600.0
NEXT_DATA = "fedcba9876543210"
NEWER_VERSION = "20261123T000000Z-svd-000000"


class Counting:
    """What one gateway counts with, on a Redis that the test looks into.

    Parameters
    ----------
    queue : redis.asyncio.Redis
        For the gateway.
    client : redis.Redis
        For the gateway's jobs and for the test.
    """

    def __init__(self, queue: redis.asyncio.Redis, client: redis.Redis) -> None:
        self.client = client
        self.answer_cache = AnswerCache(1_000_000, timedelta(minutes=1))
        self.workers = Workers(queue, None, lambda: None)
        self.popularity = Popularity(queue, client, self.workers, self.answer_cache)

    async def ask(self, *members: str) -> None:
        """Count and write."""
        for member in members:
            self.popularity.count(member)
        await self.popularity.flush()

    def scores(self) -> dict[str, float]:
        """Return what all gateways together have counted, the most asked first."""
        found: Any = self.client.zrevrange(keys.ASKED, 0, -1, withscores=True)
        return {member.decode(): score for member, score in found}

    def warmed(self) -> list[Job]:
        """Return the jobs for the warmer."""
        return open_queue(QueueName.WARM, self.client).jobs


Run = Callable[[Callable[[Counting], Awaitable[None]]], None]


@pytest.fixture
def run(redis_url: str) -> Run:
    """Run a test with a gateway's counts."""

    def run(test: Callable[[Counting], Awaitable[None]]) -> None:
        async def with_counts() -> None:
            async with open_counts(redis_url) as counting:
                await test(counting)

        asyncio.run(with_counts())

    return run


@asynccontextmanager
async def open_counts(url: str) -> AsyncIterator[Counting]:
    queue, client = connect_async(url, 1.5), connect(url)
    try:
        yield Counting(queue, client)
    finally:
        await queue.aclose()
        client.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time of day that stands still until its only element is changed."""
    now = [1_790_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


# Counts ---------------------------------------------------------------------------------------------------


def test_each_thing_that_is_asked_is_counted_for_itself(run: Run, clock: list[float]) -> None:
    async def test(counting: Counting) -> None:
        await counting.ask("suggested:1", "suggested:2", "similar:1", "suggested:1")
        await counting.ask("similar:1", "suggested:1")
        await counting.ask()
        unit = counting.scores()["suggested:2"]
        assert counting.scores() == {
            "suggested:1": pytest.approx(3 * unit),
            "similar:1": pytest.approx(2 * unit),
            "suggested:2": unit,
        }
        assert counting.client.keys() == [keys.ASKED.encode()]

    run(test)


def test_a_count_of_today_weighs_twice_one_of_a_week_ago(run: Run, clock: list[float]) -> None:
    async def test(counting: Counting) -> None:
        await counting.ask(*["suggested:1"] * 30)
        clock[0] += 7 * DAY
        await counting.ask(*["suggested:2"] * 16, *["suggested:3"] * 14)
        assert list(counting.scores()) == ["suggested:2", "suggested:1", "suggested:3"]
        scores = counting.scores()
        assert scores["suggested:2"] / scores["suggested:1"] == pytest.approx(2 * 16 / 30)
        clock[0] += 3.5 * DAY
        await counting.ask("suggested:4")
        assert counting.scores()["suggested:4"] * 30 / scores["suggested:1"] == pytest.approx(2**1.5)

    run(test)


def test_at_most_ten_thousand_are_kept_and_the_least_asked_go(run: Run, clock: list[float]) -> None:
    async def test(counting: Counting) -> None:
        await counting.ask("suggested:1")
        (unit,) = counting.scores().values()
        counting.client.delete(keys.ASKED)
        before = {f"suggested:{number}": number * unit for number in range(2, 10_002)}
        counting.client.zadd(keys.ASKED, before)
        await counting.ask("suggested:20000", "suggested:20000", "suggested:20000", "suggested:30000")
        kept = counting.scores()
        assert len(kept) == 10_000
        assert before.keys() - kept.keys() == {"suggested:2"}
        assert kept.keys() - before.keys() == {"suggested:20000"}

    run(test)


def test_of_more_than_a_thousand_at_once_the_most_asked_are_written(run: Run) -> None:
    async def test(counting: Counting) -> None:
        often = [f"suggested:{number}" for number in range(1000)]
        await counting.ask(*(f"similar:{number}" for number in range(500)), *often, *often)
        assert set(counting.scores()) == set(often)

    run(test)


def test_the_table_is_gone_a_week_after_the_last_count(run: Run) -> None:
    async def test(counting: Counting) -> None:
        week = round(7 * DAY)
        await counting.ask("suggested:1")
        assert week - 60 < counting.client.ttl(keys.ASKED) <= week
        counting.client.expire(keys.ASKED, 100)
        await counting.ask("suggested:2")
        assert week - 60 < counting.client.ttl(keys.ASKED) <= week
        counting.client.expire(keys.ASKED, 100)
        await counting.ask()
        assert counting.client.ttl(keys.ASKED) <= 100, "where nobody asks, nothing is written"

    run(test)


def test_what_memory_answers_is_counted_with_the_rest(run: Run) -> None:
    async def test(counting: Counting) -> None:
        cache = counting.answer_cache
        for number in (1, 2, 3):
            answer = Answer(b"{}", VERSION, "no-cache", f"suggested:{number}")
            cache.put(b"/%d" % number, number, cache.token(number), answer)
        for path in (b"/1", b"/1", b"/2"):
            assert cache.get(path)
        await counting.ask("suggested:1", "suggested:4")
        await counting.ask("suggested:4")
        scores = counting.scores()
        unit = scores["suggested:2"]
        counts = {member: round(score / unit, 3) for member, score in scores.items()}
        assert counts == {"suggested:1": 3, "suggested:2": 1, "suggested:4": 2}

    run(test)


def test_counts_that_cannot_be_written_are_lost(run: Run) -> None:
    async def test(counting: Counting) -> None:
        counting.client.set(keys.ASKED, "no table")
        with pytest.raises(redis.ResponseError):
            await counting.ask("suggested:1")
        counting.client.delete(keys.ASKED)
        await counting.ask("suggested:2")
        assert list(counting.scores()) == ["suggested:2"]

    run(test)


# Warming --------------------------------------------------------------------------------------------------


async def start_workers(*gateways: Counting, version: str = VERSION) -> None:
    """Let a worker and a warmer be alive, and all gateways know of them."""
    announce(gateways[0].client, "worker", version)
    announce(gateways[0].client, "warmer", version, QueueName.WARM)
    for gateway in gateways:
        await gateway.workers.look()


def test_what_is_asked_most_is_computed_first_each_kind_in_its_batches(run: Run) -> None:
    async def test(counting: Counting) -> None:
        await start_workers(counting)
        asked = {keys.asked(Kind.SUGGESTED, number): 5000.0 - number for number in range(1, 991)}
        asked |= {keys.asked(Kind.SIMILAR, number): 3000.0 - number for number in range(1, 21)}
        counting.client.zadd(keys.ASKED, asked)
        began = counting.workers.clock.now()
        await counting.popularity.warm(DATA)
        jobs = counting.warmed()
        assert [(job.func_name, len(job.kwargs["ids"])) for job in jobs] == [
            *[(RULES[Kind.SUGGESTED].job, 128)] * 7,
            (RULES[Kind.SUGGESTED].job, 990 - 7 * 128),
            (RULES[Kind.SIMILAR].job, 10),
        ]
        assert [number for job in jobs[:8] for number in job.kwargs["ids"]] == list(range(1, 991))
        assert jobs[8].kwargs["ids"] == list(range(1, 11)), "the others are not of the first thousand"
        assert all(55 < job.kwargs["deadline"] - began < 65 for job in jobs)
        assert len({job.id for job in jobs}) == len(jobs)
        assert all(re.fullmatch("[0-9a-f]{32}", job.id) for job in jobs), "as all ids of ours"

    run(test)


def test_several_gateways_have_it_done_once_for_each_model_and_data(redis_url: str) -> None:
    async def run() -> None:
        async with open_counts(redis_url) as first, open_counts(redis_url) as second:
            await start_workers(first, second)
            await first.ask("suggested:1")

            async def jobs_after(data: str) -> int:
                for gateway in (first, second, first, second):
                    await gateway.popularity.warm(data)
                return len(first.warmed())

            assert await jobs_after(DATA) == 1
            assert await jobs_after(NEXT_DATA) == 2
            await start_workers(first, second, version=NEWER_VERSION)
            assert await jobs_after(NEXT_DATA) == 3
            ttl = keys.WARMING_TTL.total_seconds()
            for note in (
                keys.warming(VERSION, DATA),
                keys.warming(VERSION, NEXT_DATA),
                keys.warming(NEWER_VERSION, NEXT_DATA),
            ):
                assert 0 < first.client.ttl(note) <= ttl

    asyncio.run(run())


def test_one_gateway_has_it_done_once_also_after_the_note_has_expired(run: Run) -> None:
    async def test(counting: Counting) -> None:
        await start_workers(counting)
        await counting.ask("suggested:1")
        await counting.popularity.warm(DATA)
        counting.client.delete(keys.warming(VERSION, DATA))
        await counting.popularity.warm(DATA)
        assert len(counting.warmed()) == 1

    run(test)


def test_without_a_warmer_it_waits_for_one(run: Run) -> None:
    async def test(counting: Counting) -> None:
        await counting.ask("suggested:1")
        await counting.popularity.warm(DATA)
        assert counting.warmed() == [], "there is no model yet"
        announce(counting.client, "worker", VERSION)
        await counting.workers.look()
        await counting.popularity.warm(DATA)
        assert counting.warmed() == [], "nobody warms"
        await start_workers(counting)
        await counting.popularity.warm(DATA)
        assert [job.kwargs["ids"] for job in counting.warmed()] == [[1]]

    run(test)


def test_where_nothing_was_asked_nothing_is_queued(run: Run) -> None:
    async def test(counting: Counting) -> None:
        await start_workers(counting)
        await counting.popularity.warm(DATA)
        assert counting.warmed() == []

    run(test)
