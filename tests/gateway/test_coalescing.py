import asyncio

import pytest

from gateway.rankings.coalescing import Coalescer


def test_questions_that_come_while_a_call_is_under_way_share_the_next() -> None:
    calls: list[list[int]] = []

    async def run() -> list[int]:
        first_is_out, go_on = asyncio.Event(), asyncio.Event()

        async def fetch(keys: list[int]) -> list[int]:
            calls.append(keys)
            first_is_out.set()
            await go_on.wait()
            return [key * 10 for key in keys]

        coalescer = Coalescer(fetch, limit=3)
        first = asyncio.create_task(coalescer.ask(1))
        await first_is_out.wait()
        others = [asyncio.create_task(coalescer.ask(key)) for key in (2, 3, 4, 5)]
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(run()) == [10, 20, 30, 40, 50]
    assert calls == [[1], [2, 3, 4], [5]]


def test_full_calls_wait_for_no_other() -> None:
    """In a long turn of the event loop more is asked than a call carries."""
    calls: list[list[int]] = []

    async def run() -> list[int]:
        go_on = asyncio.Event()

        async def fetch(keys: list[int]) -> list[int]:
            calls.append(keys)
            await go_on.wait()
            return keys

        coalescer = Coalescer(fetch, limit=2)
        asked = [asyncio.create_task(coalescer.ask(key)) for key in range(7)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert calls == [[0, 1], [2, 3], [4, 5], [6]]  # who began first may take the rest along
        go_on.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == list(range(7))


def test_whoever_asks_when_a_call_is_just_over_is_answered() -> None:
    async def run() -> list[int]:
        async def fetch(keys: list[int]) -> list[int]:
            return keys

        coalescer = Coalescer(fetch, limit=2)
        return [await coalescer.ask(key) for key in range(5)]

    assert asyncio.run(asyncio.wait_for(run(), 10)) == list(range(5))


def test_an_error_reaches_those_of_its_call_and_nobody_else() -> None:
    async def run() -> list[object]:
        async def fetch(keys: list[int]) -> list[int]:
            await asyncio.sleep(0)
            if 1 in keys:
                raise ValueError("one")
            return keys

        coalescer = Coalescer(fetch, limit=2)
        tasks = [asyncio.create_task(coalescer.ask(key)) for key in (1, 2, 3)]
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    first, second, third = asyncio.run(run())
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert third == 3


def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    async def run() -> int:
        go_on = asyncio.Event()

        async def fetch(keys: list[int]) -> list[int]:
            await go_on.wait()
            return keys

        coalescer = Coalescer(fetch, limit=10)
        leaving, staying = asyncio.create_task(coalescer.ask(1)), asyncio.create_task(coalescer.ask(2))
        await asyncio.sleep(0)
        leaving.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(run()) == 2
