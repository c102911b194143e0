"""Tasks are ended for sure."""

import asyncio

import pytest

from gateway import background_tasks


async def sleep_through(cancellations: int) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancellations -= 1
            if cancellations < 0:
                raise


async def fail() -> None:
    raise ValueError


@pytest.mark.parametrize("cancellations", [0, 1, 2])
def test_a_task_that_misses_a_cancellation_is_ended_all_the_same(cancellations: int) -> None:
    async def run() -> list[asyncio.Task[None]]:
        running = [asyncio.create_task(sleep_through(cancellations)), asyncio.create_task(fail())]
        await asyncio.sleep(0)
        await background_tasks.end(running)
        return running

    stubborn, failed = asyncio.run(asyncio.wait_for(run(), 10))
    assert stubborn.cancelled()
    assert isinstance(failed.exception(), ValueError)


def test_nothing_to_end() -> None:
    asyncio.run(background_tasks.end([]))
