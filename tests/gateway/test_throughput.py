"""As many questions may be under way as are answered in about half a second."""

import time

import pytest

from gateway.load.throughput import Throughput, retry_after
from shared.contract.jobs import BATCH_LIMIT


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its only element is changed."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def busy() -> Throughput:
    """Return the throughput of workers that have something to do from now on."""
    throughput = Throughput()
    throughput.started()
    return throughput


def test_before_anything_is_known_each_worker_is_given_a_few_batches(clock: list[float]) -> None:
    assert busy().limit(1) == 8 * BATCH_LIMIT
    assert busy().limit(3) == 24 * BATCH_LIMIT


def test_a_limit_is_worked_out_anew_when_the_number_of_workers_or_the_time_changes(
    clock: list[float],
) -> None:
    throughput = busy()
    first = throughput.limit(1)
    clock[0] += 1.0  # busy for a second with nothing answered: from now on the workers seem to hang
    hanging = throughput.limit(1)
    assert (first, hanging) == (8 * BATCH_LIMIT, BATCH_LIMIT)
    throughput.delivered(1000, 5)
    assert throughput.limit(1) == hanging, "it holds for a moment"
    assert throughput.limit(7) == 7 * BATCH_LIMIT, "but not for other workers"
    clock[0] += 0.0051
    assert throughput.limit(7) == 7 * BATCH_LIMIT
    assert throughput.limit(1) == 500


def test_the_rate_is_that_of_the_last_second(clock: list[float]) -> None:
    throughput = busy()
    throughput.delivered(4000, 5)
    clock[0] += 1.0
    throughput.delivered(2000, 5)
    assert throughput.limit(1) == 3000, "a second old counts"
    clock[0] += 0.01
    assert throughput.limit(1) == 1000, "what is older does not"


def test_workers_are_given_what_they_do_in_half_a_second_but_a_batch_at_least(clock: list[float]) -> None:
    limits = {}
    for rate in (100, 5000):
        throughput = busy()
        for _ in range(20):
            clock[0] += 0.1
            throughput.delivered(rate // 10, 100)
        limits[rate] = throughput.limit(1)
    assert limits[5000] == pytest.approx(2500, rel=0.15)
    assert limits[100] == BATCH_LIMIT


def test_after_a_pause_the_old_rate_does_not_count(clock: list[float]) -> None:
    throughput = busy()
    for _ in range(20):
        clock[0] += 0.1
        throughput.delivered(1000, 5)
    throughput.delivered(5, 0)
    clock[0] += 60
    throughput.started()
    assert throughput.limit(1) == 8 * BATCH_LIMIT


def test_being_busy_begins_with_the_first_question(clock: list[float]) -> None:
    throughput = busy()
    clock[0] += 0.9
    throughput.started()
    clock[0] += 0.1
    assert throughput.limit(1) == BATCH_LIMIT


def test_workers_that_hang_are_given_no_more_than_a_batch_each(clock: list[float]) -> None:
    throughput = busy()
    clock[0] += 5
    assert throughput.limit(2) == 2 * BATCH_LIMIT


def test_the_time_to_try_again_is_that_of_what_waits() -> None:
    assert retry_after(10, 1000) == 1
    assert retry_after(4500, 1000) == 5
    assert retry_after(1_000_000, 1) == 30
    assert retry_after(5, 0) == 30
    assert retry_after(2, 1) == 2
    assert retry_after(1, 0.5) == 2
    assert retry_after(0, 5) == 1
