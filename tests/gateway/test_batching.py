"""Waits end with the answer, or when the timer of each is over."""

import asyncio
from itertools import pairwise

import pytest

from gateway.rankings.batching import Batch, Batcher
from gateway.rankings.pending import PendingQuestion, WaitTimer
from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.rankings.ranking import Ranking

BUDGET = 0.05


def test_each_wait_lasts_for_the_budget_whatever_becomes_of_the_others() -> None:
    async def run() -> list[float]:
        loop, timer = asyncio.get_running_loop(), WaitTimer(BUDGET)

        async def wait(after: float, answered: bool) -> float:
            await asyncio.sleep(after)
            began, own = loop.time(), timer.begin()
            if answered:
                own.set_result(None)
            try:
                await own
            except TimeoutError:
                return loop.time() - began
            return 0.0

        return await asyncio.gather(*(wait(0.01 * turn, turn % 3 == 1) for turn in range(12)))

    lasted = asyncio.run(run())
    assert all((seconds == 0) == (turn % 3 == 1) for turn, seconds in enumerate(lasted))
    assert all(seconds >= BUDGET for turn, seconds in enumerate(lasted) if turn % 3 != 1)


def test_waits_that_begin_later_end_later_and_all_end() -> None:
    async def run() -> list[float]:
        loop, timer = asyncio.get_running_loop(), WaitTimer(BUDGET)
        ended: list[float] = []
        for _ in range(3):  # also after a time without any
            waits = []
            for _ in range(4):
                waits.append(timer.begin())
                waits[-1].add_done_callback(lambda _: ended.append(loop.time()))
                await asyncio.sleep(0.005)
            for own in waits:
                with pytest.raises(TimeoutError):
                    await own
        return ended

    ended = asyncio.run(run())
    assert len(ended) == 12
    assert all(first <= second for first, second in pairwise(ended))


def test_only_the_first_outcome_of_a_question_counts_and_nobody_is_told_twice() -> None:
    async def run() -> None:
        pending = PendingQuestion(Question(Kind.SUGGESTED, 1), "data", 0, "job", asyncio.Event())
        timer = WaitTimer(BUDGET)
        pending.waiting = [timer.begin(), timer.begin()]
        with pytest.raises(TimeoutError):
            await pending.waiting[0]
        pending.waiting.append(timer.begin())
        ranking = Ranking("v", "", 3, [1], [4000])
        pending.resolve(ranking)
        pending.resolve(RuntimeError("too late"))
        await pending.waiting[2]
        assert pending.outcome is ranking

    asyncio.run(run())


class Sent:
    """Gathers batches, and notes when each one leaves and with whom."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.batches: list[Batch] = []
        self.gathering = Batcher(self.batches.append, lambda: self.workers)

    def add(self, *ids: int, kind: Kind = Kind.SUGGESTED) -> list[PendingQuestion]:
        return [self.gathering.add(Question(kind, subject), "data", subject % 5) for subject in ids]

    def resolve(self, *numbers: int) -> None:
        """Let all questions of batches be answered."""
        for number in numbers:
            for pending in self.batches[number].pending:
                self.gathering.resolved(pending.job_id)

    @property
    def ids(self) -> list[list[int]]:
        return [[pending.question.subject for pending in batch.pending] for batch in self.batches]


async def turn() -> None:
    """Let what is due at this moment happen."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_while_a_worker_is_free_a_batch_leaves_with_what_comes_at_the_same_moment() -> None:
    async def run() -> None:
        sent = Sent(workers=1)
        added = sent.add(1, 2) + sent.add(3, kind=Kind.SIMILAR)
        assert sent.batches == []
        await turn()
        assert sent.ids == [[1, 2], [3]]
        assert [batch.kind for batch in sent.batches] == [Kind.SUGGESTED, Kind.SIMILAR]
        for pending, batch in zip(added, [sent.batches[0]] * 2 + [sent.batches[1]], strict=True):
            assert pending in batch.pending
            assert (pending.job_id, pending.queued) == (batch.job_id, batch.queued)
            assert (pending.fingerprint, pending.changes) == ("data", pending.question.subject % 5)
            assert (pending.tries, pending.outcome) == (1, None)
        assert sent.batches[0].job_id != sent.batches[1].job_id

    asyncio.run(run())


@pytest.mark.parametrize(("workers", "jobs"), [(0, 2), (1, 2), (3, 6)])
def test_each_worker_is_given_two_jobs_and_the_rest_waits_for_one_to_be_done(workers: int, jobs: int) -> None:
    async def run() -> None:
        sent = Sent(workers)
        for number in range(jobs):
            sent.add(number)
            await turn()
        sent.add(100, 101)
        await turn()
        sent.add(102)
        await turn()
        assert sent.ids == [[number] for number in range(jobs)], "the last three gather"
        sent.resolve(jobs - 1)
        assert sent.ids[jobs:] == [[100, 101, 102]], "one is done, so they leave at once"

    asyncio.run(run())


def test_a_job_is_done_when_its_last_pendingis_answered() -> None:
    async def run() -> None:
        sent = Sent(workers=1)
        sent.add(1, 2)
        await turn()
        sent.add(3)
        await turn()
        sent.add(4)
        first = sent.batches[0].job_id
        sent.gathering.resolved("a job that nobody knows")
        sent.gathering.resolved(first)
        assert sent.ids == [[1, 2], [3]]
        sent.gathering.resolved(first)
        assert sent.ids == [[1, 2], [3], [4]]
        sent.add(5)
        sent.gathering.resolved(first)  # told once more
        await turn()
        assert sent.ids == [[1, 2], [3], [4]], "two jobs are under way"

    asyncio.run(run())


def test_a_batch_that_is_full_leaves_at_once_and_the_next_gathers() -> None:
    async def run() -> None:
        sent = Sent(workers=1)
        sent.add(*range(BATCH_LIMIT - 1))
        assert sent.batches == []
        sent.add(1000)
        assert [len(ids) for ids in sent.ids] == [BATCH_LIMIT]
        sent.add(2000)
        await turn()
        sent.add(3000)
        await turn()
        assert sent.ids[1:] == [[2000]]
        sent.resolve(1)
        assert sent.ids[2:] == [[3000]]

    asyncio.run(run())


def test_kinds_share_the_workers_and_leave_while_there_are_any() -> None:
    async def run() -> None:
        sent = Sent(workers=1)
        for number in (1, 2):
            sent.add(number)
            await turn()
        sent.add(3)
        sent.add(4, kind=Kind.SIMILAR)
        sent.resolve(0)
        assert sent.ids == [[1], [2], [3]], "one job is done, one more may leave"
        sent.resolve(1)
        assert sent.ids == [[1], [2], [3], [4]]

    asyncio.run(run())


def test_nobody_gathers_for_longer_than_a_moment() -> None:
    async def run() -> None:
        loop, sent = asyncio.get_running_loop(), Sent(workers=1)
        for number in (1, 2):
            sent.add(number)
            await turn()
        began = loop.time()
        sent.add(3)
        while len(sent.batches) < 3:
            await asyncio.sleep(0.001)
        assert loop.time() - began >= 0.024
        assert sent.ids[2] == [3]

    asyncio.run(asyncio.wait_for(run(), 10))
