"""One place says which questions are refused, why, and when to try again."""

import time

import pytest

from gateway.http.problems import NoWorkers, Problem, QueueFull, QueueUnreachable
from gateway.load.admission import Admission
from gateway.load.workers import Workers
from shared.contract.jobs import BATCH_LIMIT, QueueName
from shared.queue.connections import connect_async
from shared.queue.heartbeat import Heartbeat

CAP = 10


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its only element is changed."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def workers() -> Workers:
    """One worker that can answer; nothing is read from Redis."""
    workers = Workers(connect_async("redis://127.0.0.1:1", 1.0), None, lambda: None)
    workers.reachable = True
    workers.able_workers = 1
    return workers


def heartbeat(job_seconds: float) -> Heartbeat:
    return Heartbeat(
        worker_id="f" * 32,
        queue=QueueName.SERVE,
        host="here",
        pid=1,
        model_version="20261122T201530Z-svd-1f3c9a",
        job_seconds=job_seconds,
    )


def refusal(workers: Workers, under_way: int = 0) -> Problem | None:
    """Return why a question is refused, None if it is not."""
    try:
        Admission(workers, CAP).admit(under_way)
    except Problem as problem:
        return problem
    return None


def test_what_can_be_computed_is_admitted(workers: Workers) -> None:
    workers.waiting_jobs = CAP
    assert refusal(workers, 8 * BATCH_LIMIT - 1) is None


@pytest.mark.parametrize(
    ("attribute", "value", "problem", "detail"),
    [
        ("reachable", False, QueueUnreachable, "Redis does not answer; try again soon."),
        ("refusal", "Redis is full", QueueUnreachable, "Redis is full; try again soon."),
        ("cache_refusal", "Redis is full", QueueUnreachable, "The cache: Redis is full; try again soon."),
        (
            "able_workers",
            0,
            NoWorkers,
            "No worker is running. Answers that were computed before are still served.",
        ),
        (
            "waiting_jobs",
            CAP + 1,
            QueueFull,
            "11 jobs with questions of users wait already; try again soon.",
        ),
    ],
)
def test_each_reason_to_refuse_a_question(
    workers: Workers, attribute: str, value: object, problem: type[Problem], detail: str
) -> None:
    setattr(workers, attribute, value)
    refused = refusal(workers)
    assert type(refused) is problem
    assert refused.detail == detail
    assert int(refused.headers["Retry-After"]) > 0


def test_workers_without_a_model_are_told_apart_from_none(workers: Workers) -> None:
    workers.able_workers, workers.serving = 0, [heartbeat(0.0)]
    refused = refusal(workers)
    assert isinstance(refused, NoWorkers)
    assert refused.detail.startswith("Workers wait for a first model. ")


@pytest.mark.parametrize(("job_seconds", "seconds"), [(0.0, "2"), (1.0, "11")])
def test_a_long_queue_says_when_it_will_be_done(workers: Workers, job_seconds: float, seconds: str) -> None:
    """Eleven jobs of a tenth of a second each, as long as nothing else is known, or of one second."""
    workers.serving, workers.waiting_jobs = [heartbeat(job_seconds)], CAP + 1
    refused = refusal(workers)
    assert isinstance(refused, QueueFull)
    assert refused.headers == {"Retry-After": seconds}


def test_a_refused_client_is_told_why_and_when_to_try_again(workers: Workers, clock: list[float]) -> None:
    admission = Admission(workers, CAP)
    admission.admit(0)
    for _ in range(21):
        clock[0] += 0.1
        admission.delivered(100, 5)
    # A thousand a second: five hundred are half a second's, and the last of 2,500 is done in 2.5 s.
    admission.admit(400)
    with pytest.raises(QueueFull) as refused:
        admission.admit(2500)
    assert refused.value.detail == "2,500 questions wait already; try again soon."
    assert refused.value.headers == {"Retry-After": "3"}


def test_what_the_cache_is_asked_for_counts_as_under_way(workers: Workers) -> None:
    admission = Admission(workers, CAP)
    assert not admission.is_full(8 * BATCH_LIMIT - 1)
    admission.being_read = 1
    assert admission.is_full(8 * BATCH_LIMIT - 1)


def test_a_training_is_refused_from_half_of_the_cap_on(workers: Workers) -> None:
    admission = Admission(workers, CAP)
    workers.waiting_jobs = CAP // 2
    admission.admit_training()
    workers.waiting_jobs += 1
    with pytest.raises(QueueFull, match="they come first") as refused:
        admission.admit_training()
    assert refused.value.headers == {"Retry-After": "1"}
