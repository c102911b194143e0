"""When a question counts as lost: of two rules each, and at their edges."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.rankings import lost_questions
from gateway.rankings.lost_questions import LostQuestions
from gateway.rankings.pending import PendingQuestion, PendingQuestions
from tests.gateway.asking import suggested

NOW = 1000.0
(QUESTION,) = suggested(1)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_questions, "time", SimpleNamespace(monotonic=lambda: NOW))


def is_asked_again(*, sent: float, newest_answered: float, last_answer: float, waiting_jobs: int) -> bool:
    """Tell whether a question is asked again; times are seconds ago."""
    again: list[PendingQuestion] = []

    async def queue_again(kind: object, questions: list[PendingQuestion]) -> None:
        again.extend(questions)

    async def collect(questions: object, *, just_written: bool) -> None:
        """Find nothing."""

    async def run() -> None:
        pending = PendingQuestions(lambda job_id: None)
        pending.newest_answered, pending.last_answer = NOW - newest_answered, NOW - last_answer
        pending[QUESTION] = PendingQuestion(
            QUESTION, "data", 0, "a" * 32, asyncio.Event(), started=NOW - sent, sent=NOW - sent
        )
        workers: Any = SimpleNamespace(waiting_jobs=waiting_jobs)
        claims: Any = SimpleNamespace(queue_again=queue_again)
        await LostQuestions(pending, workers, claims, collect, timedelta(seconds=5)).look()

    asyncio.run(run())
    return bool(again)


@pytest.mark.parametrize(
    ("sent", "newest_answered", "last_answer", "waiting_jobs", "lost"),
    [
        # The queue is idle: nothing waits, and nothing was answered for half a second.
        (1.1, 3.0, 0.6, 0, True),
        (1.1, 3.0, 0.4, 0, False),
        (1.1, 3.0, 0.6, 1, False),
        (0.9, 3.0, 0.6, 0, False),
        # Overtaken: what was sent half a second later is answered, though others wait.
        (1.6, 1.0, 0.1, 5, True),
        (1.4, 1.0, 0.1, 5, False),
        (0.9, 0.1, 0.1, 5, False),
    ],
)
def test_when_a_question_is_lost(
    sent: float, newest_answered: float, last_answer: float, waiting_jobs: int, lost: bool
) -> None:
    assert (
        is_asked_again(
            sent=sent, newest_answered=newest_answered, last_answer=last_answer, waiting_jobs=waiting_jobs
        )
        is lost
    )
