"""The rules between a question and its answer, on a real Redis: what is fresh, who asks, and when again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import redis

from gateway.http.problems import ComputationFailed, NoWorkers, Problem, QueueUnreachable, UnknownUser
from gateway.rankings import batching, dispatcher, lost_questions
from gateway.rankings.dispatcher import Found, StillWorkingError
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.jobs import open_queue
from shared.rankings import claims
from shared.rankings.changes import announce_changes
from tests.gateway.asking import VERSION, Harness, open_harness, ranking, suggested

(ONE, TWO, THREE) = suggested(1, 2, 3)
SIMILAR = Question(Kind.SIMILAR, 1)
ELSEWHERE = b"a" * 32
"""A job of another gateway."""
OTHER_DATA = "fedcba9876543210"
OLDER = "20251122T201530Z-svd-1f3c9a"


def run(url: str, test: Callable[[Harness], Awaitable[None]], *, wait_budget: float = 5.0) -> None:
    async def with_harness() -> None:
        async with open_harness(url, wait_budget=wait_budget) as harness:
            await asyncio.wait_for(test(harness), 8)  # they take one second at most

    asyncio.run(with_harness())


async def until(look: Callable[[], object]) -> None:
    """Return when something is true."""
    while not look():
        await asyncio.sleep(0.005)


async def under_way(harness: Harness, *questions: Question) -> list["asyncio.Task[Found]"]:
    """Ask, and return when the questions are in the queue."""
    before = sum(map(len, harness.jobs()))
    asked = [asyncio.create_task(harness.ask(question)) for question in questions]
    await until(lambda: sum(map(len, harness.jobs())) == before + len(questions))
    return asked


# What is fresh --------------------------------------------------------------------------------------------


def test_what_the_cache_has_and_is_fresh_is_taken(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        alike = ranking(70, kind=Kind.SIMILAR)
        harness.write((ONE, ranking(1)), (SIMILAR, alike))
        assert await harness.ask(ONE) == Found(ranking(1), cached=True, fresh=True)
        assert await harness.ask(SIMILAR, wait=False) == Found(alike, cached=True, fresh=True)
        assert harness.jobs() == []

    run(redis_url, test)


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param(ranking(1, version=OLDER), id="of another model"),
        pytest.param(ranking(1, data=OTHER_DATA), id="of other data"),
        pytest.param(ranking(1, changes=1), id="of another count of changes"),
    ],
)
def test_what_is_stale_is_computed_again(redis_url: str, stale: object) -> None:
    async def test(harness: Harness) -> None:
        assert isinstance(stale, type(ranking(1)))
        harness.write((ONE, stale))
        (asked,) = await under_way(harness, ONE)
        harness.answer((ONE, ranking(1)))
        assert await asked == Found(ranking(1), cached=False, fresh=True)

    run(redis_url, test)


def test_after_a_change_of_ratings_what_was_computed_before_is_stale(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        harness.write((ONE, ranking(1)))
        announce_changes(harness.client, harness.client, [1])
        (asked,) = await under_way(harness, ONE)
        (job,) = open_queue(QueueName.SERVE, harness.client).jobs
        assert job.kwargs["changes"] == [1], "the worker is told which ratings are meant"
        harness.answer((ONE, ranking(1, changes=1)))
        assert await asked == Found(ranking(1, changes=1), cached=False, fresh=True)
        assert harness.forgotten[-1] == News(RankingEvent.CHANGED, Kind.SUGGESTED, [1])

    run(redis_url, test)


@pytest.mark.parametrize(
    "other", [ranking(1, version=OLDER), ranking(1, data=OTHER_DATA)], ids=["model", "data"]
)
def test_an_answer_of_another_model_or_other_data_is_shown_but_not_kept(
    redis_url: str, other: object
) -> None:
    async def test(harness: Harness) -> None:
        assert isinstance(other, type(ranking(1)))
        (asked,) = await under_way(harness, ONE)
        harness.answer((ONE, other))
        assert await asked == Found(other, cached=False, fresh=False)

    run(redis_url, test)


def test_ratings_that_change_while_an_answer_is_computed_have_it_computed_again(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        announce_changes(harness.client, harness.client, [1])
        harness.answer((ONE, ranking(1)))
        await until(lambda: len(harness.jobs()) == 2)
        assert not asked.done()
        assert [job.kwargs["changes"] for job in open_queue(QueueName.SERVE, harness.client).jobs] == [
            [0],
            [1],
        ]
        harness.answer((ONE, ranking(1, changes=1)))
        assert (await asked).ranking == ranking(1, changes=1)

    run(redis_url, test)


# Who asks -------------------------------------------------------------------------------------------------


def test_many_who_ask_the_same_are_one_question(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = [asyncio.create_task(harness.ask(ONE)) for _ in range(50)]
        await until(harness.jobs)
        assert harness.awaits(ONE)
        assert not harness.awaits(TWO)
        harness.answer((ONE, ranking(1)))
        assert {found.ranking for found in await asyncio.gather(*asked)} == {ranking(1)}
        assert harness.jobs() == [[1]]
        assert not harness.awaits(ONE)

    run(redis_url, test)


def test_questions_of_one_moment_share_a_job_each_kind_its_own(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = await under_way(harness, ONE, TWO, SIMILAR, THREE)
        jobs = open_queue(QueueName.SERVE, harness.client).jobs
        assert sorted((job.func_name, job.kwargs["ids"]) for job in jobs) == [
            ("worker.jobs.find_similar", [1]),
            ("worker.jobs.suggest", [1, 2, 3]),
        ]
        now = harness.workers.clock.now()
        assert all(now + 9 < job.kwargs["deadline"] <= now + 10 for job in jobs), "twice the wait budget"
        for question in (ONE, TWO, THREE, SIMILAR):
            claim = keys.claim(*question)
            assert harness.client.get(claim) in {job.id.encode() for job in jobs}
            assert 8_000 < harness.client.pttl(claim) <= 10_000
        harness.answer((ONE, ranking(1)), (TWO, ranking(2)), (THREE, ranking(3)))
        alike = ranking(70, kind=Kind.SIMILAR)
        harness.answer((SIMILAR, alike))
        found = await asyncio.gather(*asked)
        assert [one.ranking for one in found] == [ranking(1), ranking(2), alike, ranking(3)]

    run(redis_url, test)


def test_what_another_gateway_has_under_way_is_not_asked_twice(redis_url: str) -> None:
    async def test(first: Harness) -> None:
        async with open_harness(redis_url) as second:
            (asked,) = await under_way(first, ONE)
            # The other one has a question more, that alone is queued.
            others = await under_way(second, TWO)
            others.insert(0, asyncio.create_task(second.ask(ONE)))
            await until(lambda: second.awaits(ONE))
            (job_of_one, job_of_two) = open_queue(QueueName.SERVE, first.client).jobs
            later = await second.outcome(ONE)
            assert isinstance(later, StillWorkingError)
            assert later.job_id == job_of_one.id != job_of_two.id, "it names the job that will answer"
            assert first.jobs() == [[1], [2]]
            first.answer((ONE, ranking(1)), (TWO, ranking(2)))
            assert [found.ranking for found in await asyncio.gather(asked, *others)] == [
                ranking(1),
                ranking(1),
                ranking(2),
            ]

    run(redis_url, test)


def test_of_a_batch_only_what_nobody_else_has_is_queued(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        harness.client.set(keys.claim(*TWO), ELSEWHERE)
        asked = [asyncio.create_task(harness.ask(question)) for question in (ONE, TWO, THREE)]
        await until(harness.jobs)
        assert harness.jobs() == [[1, 3]]
        assert harness.client.get(keys.claim(*TWO)) == ELSEWHERE
        (job,) = open_queue(QueueName.SERVE, harness.client).jobs
        assert (
            harness.client.get(keys.claim(*ONE)) == harness.client.get(keys.claim(*THREE)) == job.id.encode()
        )
        assert 8_000 < harness.client.pttl(keys.claim(*ONE)) <= 10_000
        harness.answer((ONE, ranking(1)), (TWO, ranking(2)), (THREE, ranking(3)))
        assert [found.ranking for found in await asyncio.gather(*asked)] == [
            ranking(1),
            ranking(2),
            ranking(3),
        ]

    run(redis_url, test)


def test_what_was_answered_between_look_and_claim_is_taken(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(harness: Harness) -> None:
        claim = harness.claims.claim_and_queue

        async def late(batch: object) -> list[bytes | None]:
            harness.write((ONE, ranking(1)), (TWO, ranking(2, version=OLDER)))
            for question in (ONE, TWO):
                harness.client.set(keys.claim(*question), claims.SETTLED)
            return await claim(batch)  # type: ignore[arg-type]

        monkeypatch.setattr(harness.claims, "claim_and_queue", late)
        asked = [asyncio.create_task(harness.ask(question)) for question in (ONE, TWO, THREE)]
        assert (await asked[0]).ranking == ranking(1)
        await until(harness.jobs)
        (ids,) = harness.jobs()
        assert sorted(ids) == [2, 3], "one is stale, and the other nobody has"
        harness.answer((TWO, ranking(2)), (THREE, ranking(3)))
        assert [(await one).ranking for one in asked[1:]] == [ranking(2), ranking(3)]

    run(redis_url, test)


def test_a_claim_that_no_job_holds_keeps_nobody_away(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        harness.client.set(keys.claim(*ONE), "no job")
        (asked,) = await under_way(harness, ONE)
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_workers_are_free_again_when_jobs_are_done_or_were_of_others(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """Who gathers would do so for longer than this test may take."""
    monkeypatch.setattr(batching, "LONGEST_GATHERING_SECONDS", 60)

    async def test(harness: Harness) -> None:
        for question in (ONE, TWO):
            if elsewhere:
                harness.client.set(keys.claim(*question), ELSEWHERE)
                assert isinstance(await harness.outcome(question), StillWorkingError)
            else:
                (asked,) = await under_way(harness, question)
                harness.answer((question, ranking(question.subject)))
                await asked
        await under_way(harness, THREE)

    run(redis_url, test)


# Who is refused -------------------------------------------------------------------------------------------


def test_what_does_not_exist_is_refused_before_anything_is_queued(redis_url: str) -> None:
    async def require_subject(question: Question) -> None:
        if question == TWO:
            raise UnknownUser(question.subject)

    async def test() -> None:
        async with open_harness(redis_url, require_subject=require_subject) as harness:
            with pytest.raises(UnknownUser, match="User 2 "):
                await harness.ask(TWO)
            (asked,) = await under_way(harness, ONE)
            harness.answer((ONE, ranking(1)))
            assert (await asked).ranking == ranking(1)

    asyncio.run(test())


def test_without_workers_nothing_is_queued(redis_url: str) -> None:
    async def test() -> None:
        async with open_harness(redis_url, alive=()) as harness:
            with pytest.raises(NoWorkers):
                await harness.ask(ONE)
            assert harness.jobs() == []
            assert not harness.awaits(ONE)

    asyncio.run(test())


def test_one_who_does_not_wait_is_told_the_job_and_the_answer_comes_all_the_same(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        outcome = await harness.outcome(ONE)
        assert isinstance(outcome, StillWorkingError)
        assert [job.id for job in open_queue(QueueName.SERVE, harness.client).jobs] == [outcome.job_id]
        asked = asyncio.create_task(harness.ask(ONE))
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)


def test_one_whose_wait_ends_is_told_the_job(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        began = time.monotonic()
        with pytest.raises(StillWorkingError) as late:
            await harness.ask(ONE)
        assert 0.3 <= time.monotonic() - began < 3
        assert [job.id for job in open_queue(QueueName.SERVE, harness.client).jobs] == [late.value.job_id]
        assert harness.awaits(ONE), "the answer may still come"

    run(redis_url, test, wait_budget=0.3)


def test_a_failure_that_a_worker_tells_of_is_the_answer(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = await under_way(harness, ONE, TWO)
        harness.tell(RankingEvent.FAILED, ONE)
        with pytest.raises(ComputationFailed, match=r"^A worker could not compute this; its log says why"):
            await asked[0]
        assert not asked[1].done()
        harness.answer((TWO, ranking(2)))
        assert (await asked[1]).ranking == ranking(2)

    run(redis_url, test)


def test_a_user_whom_a_worker_did_not_find_is_unknown(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = await under_way(harness, ONE, TWO)
        harness.tell(RankingEvent.UNKNOWN, ONE)
        with pytest.raises(UnknownUser, match="User 1 "):
            await asked[0]
        assert not asked[1].done()
        harness.answer((TWO, ranking(2)))
        await asked[1]

    run(redis_url, test)


def test_what_cannot_be_asked_for_a_reason_of_our_own_is_said(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(harness: Harness) -> None:
        async def fail(batch: object) -> list[bytes | None]:
            raise ValueError

        monkeypatch.setattr(harness.claims, "claim_and_queue", fail)
        with pytest.raises(ComputationFailed, match=r"^This could not be asked; the gateway's log says why"):
            await harness.ask(ONE)
        assert not harness.awaits(ONE)

    run(redis_url, test)


def test_whoever_waits_when_the_gateway_ends_is_told(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        await harness.dispatcher.stop()
        with pytest.raises(QueueUnreachable, match="shutting down"):
            await asked

    run(redis_url, test)


def test_how_much_the_cache_has_follows_the_latest_questions(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        share = harness.admission.found_share
        assert share == 1
        harness.write((ONE, ranking(1)), (TWO, ranking(2, version=OLDER)))
        for question, usable in ((TWO, False), (ONE, True), (TWO, False)):
            await harness.outcome(question)
            share += 0.01 * (usable - share)
            assert harness.admission.found_share == pytest.approx(share)

    run(redis_url, test)


def test_it_is_full_with_what_is_under_way_and_what_is_being_read(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        seen = [harness.full]
        await asyncio.gather(*map(harness.outcome, suggested(*range(1, 1023))))
        seen.append(harness.full)
        last = [asyncio.create_task(harness.outcome(question)) for question in suggested(5000, 5002)]
        await asyncio.sleep(0)
        seen.append(harness.full)  # the last two are being read
        await asyncio.gather(*last)
        seen.append(harness.full)
        assert seen == [False, False, True, True]
        refused = await harness.outcome(suggested(5001)[0])
        assert isinstance(refused, Problem)
        assert refused.slug == "queue-full"

    run(redis_url, test, wait_budget=60)


# When it is asked again -----------------------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let questions count as lost sooner, and be looked for more often."""
    monkeypatch.setattr(lost_questions, "LOST_AFTER", timedelta(seconds=0.25))
    monkeypatch.setattr(lost_questions, "_OVERTAKEN_SECONDS", 0.1)
    monkeypatch.setattr(dispatcher, "_SWEEP_INTERVAL_SECONDS", 0.02)


def lose(harness: Harness) -> None:
    """Take a job out of the queue, as a worker does that dies with it."""
    assert harness.client.lpop("rq:queue:serve")


@pytest.mark.usefixtures("soon")
def test_what_is_lost_is_asked_again_alone_and_given_up_when_it_is_lost_again(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = await under_way(harness, ONE, TWO)
        lose(harness)
        await harness.workers.look()
        began = time.monotonic()
        await until(lambda: len(harness.jobs()) == 2)
        assert time.monotonic() - began > 0.15
        assert harness.jobs() == [[1], [2]], "each alone"
        assert not any(one.done() for one in asked)
        ids = [job.id.encode() for job in open_queue(QueueName.SERVE, harness.client).jobs]
        assert [harness.client.get(keys.claim(*question)) for question in (ONE, TWO)] == ids
        harness.answer((TWO, ranking(2)))
        assert (await asked[1]).ranking == ranking(2)
        lose(harness)
        lose(harness)
        with pytest.raises(ComputationFailed, match=r"^Each worker that tried this died; its log says why"):
            await asked[0]
        assert harness.jobs() == []
        await until(lambda: harness.client.get(keys.claim(*ONE)) == b"given-up")
        assert 50_000 < harness.client.pttl(keys.claim(*ONE)) <= 60_000
        with pytest.raises(ComputationFailed, match="try again in a minute"):
            await harness.ask(ONE)
        assert harness.jobs() == []

    run(redis_url, test)


@pytest.mark.usefixtures("soon")
def test_what_waits_in_the_queue_is_not_lost(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        await harness.workers.look()
        await asyncio.sleep(0.4)  # more than the age from which it could be
        assert harness.jobs() == [[1]]
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)


@pytest.mark.usefixtures("soon")
def test_what_later_jobs_have_overtaken_is_lost_though_the_queue_is_never_idle(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        lose(harness)
        harness.client.rpush("rq:queue:serve", "waits")
        await harness.workers.look()
        await asyncio.sleep(0.15)
        later = asyncio.create_task(harness.ask(TWO))
        await until(lambda: harness.awaits(TWO))
        await asyncio.sleep(0.05)
        harness.answer((TWO, ranking(2)))
        await later
        harness.client.delete("rq:queue:serve")
        harness.client.rpush("rq:queue:serve", "waits")
        await until(lambda: harness.client.llen("rq:queue:serve") == 2)
        assert not asked.done()
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)


@pytest.mark.usefixtures("soon")
def test_what_was_answered_without_news_is_found(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        asked = await under_way(harness, ONE, TWO)
        lose(harness)
        await harness.workers.look()
        harness.write((ONE, ranking(1)), (TWO, ranking(2, version=OLDER)))
        assert (await asked[0]).ranking == ranking(1)
        await until(harness.jobs)
        assert harness.jobs() == [[2]], "a stale one is not the answer"

    run(redis_url, test)


@pytest.mark.usefixtures("soon")
def test_what_nobody_answers_is_forgotten_in_the_end(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        assert isinstance(await harness.outcome(ONE), StillWorkingError)
        began = time.monotonic()
        late = asyncio.create_task(harness.ask(ONE))
        await until(lambda: not harness.awaits(ONE))
        # Twice the budget, and the age from which it could be lost.
        assert 1.0 < time.monotonic() - began < 1.4
        with pytest.raises(StillWorkingError):
            await late

    run(redis_url, test, wait_budget=0.4)


@pytest.mark.usefixtures("soon")
def test_one_who_asks_shortly_before_it_is_forgotten_is_told(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        assert isinstance(await harness.outcome(ONE), StillWorkingError)
        await asyncio.sleep(1.0)  # of the 1.25 s after which it is
        with pytest.raises(ComputationFailed, match=r"^No worker answered in time"):
            await harness.ask(ONE)

    run(redis_url, test, wait_budget=0.5)


def test_news_that_was_missed_while_the_connection_was_away_is_made_up_for(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        forgotten = len(harness.forgotten)
        harness.write((ONE, ranking(1)))
        (listener,) = [one for one in harness.client.client_list() if one["sub"] != "0"]
        harness.client.client_kill_filter(_id=listener["id"])
        assert (await asked).ranking == ranking(1)
        assert harness.forgotten[forgotten:] == [None], "what changed meanwhile is unknown"

    run(redis_url, test)


def test_news_that_are_none_of_ours_are_passed_over(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        (asked,) = await under_way(harness, ONE)
        for message in (b"", b"\xff\xfe", b"written suggested x", b"written all 1", b"written suggested 99"):
            harness.client.publish(keys.ANSWERS_CHANNEL, message)
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)


def test_news_of_workers_are_looked_into_at_once(redis_url: str) -> None:
    async def test(harness: Harness) -> None:
        harness.workers.versions = frozenset({VERSION})
        assert harness.workers.versions == {VERSION}
        newer = "20271122T201530Z-svd-1f3c9a"
        await harness.announce("worker", newer)
        harness.workers.versions = frozenset({VERSION})
        harness.client.publish(keys.WORKERS_CHANNEL, "worker")
        await until(lambda: harness.workers.versions == {newer})

    run(redis_url, test)


def test_redis_that_does_not_take_questions_is_said(redis_url: str, redis_client: redis.Redis) -> None:
    async def test(harness: Harness) -> None:
        redis_client.set("rq:queue:serve", "no list")
        with pytest.raises(QueueUnreachable):
            await harness.ask(ONE)
        assert not harness.awaits(ONE)
        redis_client.delete("rq:queue:serve", keys.claim(*ONE))
        (asked,) = await under_way(harness, ONE)
        harness.answer((ONE, ranking(1)))
        assert (await asked).ranking == ranking(1)

    run(redis_url, test)
