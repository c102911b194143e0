"""As many questions are let in as are answered in about half a second."""

import time

import pytest

from gateway.http.problems import QueueFull
from gateway.load.admission import Admission, retry_after
from shared.contract.jobs import BATCH_LIMIT


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its only element is changed."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def admitted(admission: Admission, workers: int) -> int:
    """Return how many questions can be under way before the next is refused."""
    under_way = 0
    while under_way < 1_000_000:
        try:
            admission.admit(under_way, workers)
        except QueueFull:
            return under_way
        under_way += 1
    raise AssertionError("nothing is refused")


def test_before_anything_is_known_each_worker_is_given_a_few_batches(clock: list[float]) -> None:
    assert admitted(Admission(), 1) == 8 * BATCH_LIMIT
    assert admitted(Admission(), 3) == 24 * BATCH_LIMIT


def test_who_is_refused_is_told_why_and_when_to_try_again(clock: list[float]) -> None:
    admission = Admission()
    admission.admit(0, 1)
    for _ in range(21):
        clock[0] += 0.1
        admission.delivered(100, 5)
    # A thousand a second: five hundred are half a second's, and the last of 2,500 is done in 2.5 s.
    assert admission.limit(1) == pytest.approx(500, rel=0.15)
    with pytest.raises(QueueFull) as refused:
        admission.admit(2500, 1)
    assert refused.value.detail == "2,500 questions wait already; try again soon."
    assert refused.value.headers == {"Retry-After": "3"}


def test_a_limit_is_worked_out_anew_when_the_number_of_workers_or_the_time_changes(
    clock: list[float],
) -> None:
    admission = Admission()
    admission.admit(0, 1)
    first = admission.limit(1)
    clock[0] += 1.0  # busy for a second with nothing answered: from now on the fleet seems to hang
    hanging = admission.limit(1)
    assert (first, hanging) == (8 * BATCH_LIMIT, BATCH_LIMIT)
    admission.delivered(1000, 5)
    assert admission.limit(1) == hanging, "it holds for a moment"
    assert admission.limit(7) == 7 * BATCH_LIMIT, "but not for other workers"
    clock[0] += 0.0051
    assert admission.limit(7) == 7 * BATCH_LIMIT
    assert admission.limit(1) == 500


def test_the_rate_is_that_of_the_last_second(clock: list[float]) -> None:
    admission = Admission()
    admission.admit(0, 1)
    admission.delivered(4000, 5)
    clock[0] += 1.0
    admission.delivered(2000, 5)
    assert admission.limit(1) == 3000, "a second old counts"
    clock[0] += 0.01
    assert admission.limit(1) == 1000, "what is older does not"


def test_a_fleet_is_given_what_it_does_in_half_a_second_but_a_batch_at_least(clock: list[float]) -> None:
    limits = {}
    for rate in (100, 5000):
        admission = Admission()
        admission.admit(0, 1)
        for _ in range(20):
            clock[0] += 0.1
            admission.delivered(rate // 10, 100)
        limits[rate] = admitted(admission, 1)
    assert limits[5000] == pytest.approx(2500, rel=0.15)
    assert limits[100] == BATCH_LIMIT


def test_after_a_pause_the_old_rate_does_not_count(clock: list[float]) -> None:
    admission = Admission()
    admission.admit(0, 1)
    for _ in range(20):
        clock[0] += 0.1
        admission.delivered(1000, 5)
    admission.delivered(5, 0)
    clock[0] += 60
    assert admitted(admission, 1) == 8 * BATCH_LIMIT


def test_a_fleet_that_hangs_is_given_no_more_than_a_batch_each(clock: list[float]) -> None:
    admission = Admission()
    admission.admit(0, 2)
    clock[0] += 5
    assert admitted(admission, 2) == 2 * BATCH_LIMIT


def test_the_time_to_try_again_is_that_of_what_waits() -> None:
    assert retry_after(10, 1000) == 1
    assert retry_after(4500, 1000) == 5
    assert retry_after(1_000_000, 1) == 30
    assert retry_after(5, 0) == 30
    assert retry_after(2, 1) == 2
    assert retry_after(1, 0.5) == 2
    assert retry_after(0, 5) == 1
