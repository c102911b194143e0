"""Waits end with the answer, or when the patience of each is over."""

import asyncio
from itertools import pairwise

import pytest

from gateway.flights import Flight, Patience
from gateway.ranking_cache import Question
from shared.contract import Kind
from shared.ranking import Ranking

BUDGET = 0.05


def test_each_wait_lasts_for_the_budget_whatever_becomes_of_the_others() -> None:
    async def run() -> list[float]:
        loop, patience = asyncio.get_running_loop(), Patience(BUDGET)

        async def wait(after: float, answered: bool) -> float:
            await asyncio.sleep(after)
            began, own = loop.time(), patience.begin()
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
        loop, patience = asyncio.get_running_loop(), Patience(BUDGET)
        ended: list[float] = []
        for _ in range(3):  # also after a time without any
            waits = []
            for _ in range(4):
                waits.append(patience.begin())
                waits[-1].add_done_callback(lambda _: ended.append(loop.time()))
                await asyncio.sleep(0.005)
            for own in waits:
                with pytest.raises(TimeoutError):
                    await own
        return ended

    ended = asyncio.run(run())
    assert len(ended) == 12
    assert all(first <= second for first, second in pairwise(ended))


def test_only_the_first_outcome_of_a_flight_counts_and_nobody_is_told_twice() -> None:
    async def run() -> None:
        flight = Flight(Question(Kind.SUGGESTED, 1), 1, 0, "job", asyncio.Event())
        patience = Patience(BUDGET)
        flight.waiting = [patience.begin(), patience.begin()]
        with pytest.raises(TimeoutError):
            await flight.waiting[0]
        flight.waiting.append(patience.begin())
        ranking = Ranking("v", "", 3, [1], [4000])
        flight.land(ranking)
        flight.land(RuntimeError("too late"))
        await flight.waiting[2]
        assert flight.outcome is ranking

    asyncio.run(run())
