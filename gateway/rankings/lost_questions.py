"""Finds questions whose worker died, asks them again, and gives up those that workers die of."""

import time
from datetime import timedelta

import structlog

from gateway.http.problems import ComputationFailed
from gateway.load.workers import Workers
from gateway.rankings.claims import Claims, Collect
from gateway.rankings.pending import PendingQuestion, PendingQuestions
from shared.contract.kinds import Kind

log = structlog.get_logger(__name__)

LOST_AFTER = timedelta(seconds=1)
"""Age from which a question is lost if the queue is idle, or if jobs that were sent after it are done."""

_OVERTAKEN_SECONDS = 0.5
_MOST_TRIES = 2


class LostQuestions:
    """Finds lost questions and asks them again.

    Parameters
    ----------
    pending : PendingQuestions
        What is waited for.
    workers : Workers
        Tells how many jobs wait.
    claims : Claims
        Queues them again.
    collect : Collect
        Hands out what was answered unheard.
    wait_budget : timedelta
        Longest that a request waits.
    """

    def __init__(
        self,
        pending: PendingQuestions,
        workers: Workers,
        claims: Claims,
        collect: Collect,
        wait_budget: timedelta,
    ) -> None:
        self._pending = pending
        self._workers = workers
        self._claims = claims
        self._collect = collect
        self._wait_budget = wait_budget.total_seconds()

    async def look(self) -> None:
        """Ask again what a dead worker took along, and drop what no request waits for any more."""
        lost: dict[Kind, list[PendingQuestion]] = {}
        for pending in list(self._pending.values()):
            if time.monotonic() - pending.started > 2 * self._wait_budget + LOST_AFTER.total_seconds():
                self._pending.resolve(pending, ComputationFailed("No worker answered in time."))
            elif self._is_lost(pending):
                lost.setdefault(pending.question.kind, []).append(pending)
        for kind, missed in lost.items():
            # The news may have come while the connection was being renewed.
            await self._collect([pending.question for pending in missed], just_written=False)
            await self._handle(kind, [pending for pending in missed if pending.outcome is None])

    def _is_lost(self, pending: PendingQuestion) -> bool:
        now = time.monotonic()
        if now - pending.sent < LOST_AFTER.total_seconds():
            return False
        overtaken = self._pending.newest_answered > pending.sent + _OVERTAKEN_SECONDS
        idle = self._workers.waiting_jobs == 0 and now - self._pending.last_answer > _OVERTAKEN_SECONDS
        return overtaken or idle

    async def _handle(self, kind: Kind, lost: list[PendingQuestion]) -> None:
        for pending in lost:
            if pending.tries >= _MOST_TRIES:
                await self._give_up(pending)
        again = [pending for pending in lost if pending.tries < _MOST_TRIES]
        if again:
            log.warning("asking again", kind=kind.value, questions=len(again))
        for pending in again:
            # Each alone: one that kills its worker must not take the others along.
            await self._claims.queue_again(kind, [pending])

    async def _give_up(self, pending: PendingQuestion) -> None:
        """Stop asking what was lost with each worker that took it."""
        kind, subject = pending.question
        log.error("given up", kind=kind.value, id=subject, tries=pending.tries)
        self._pending.resolve(
            pending, ComputationFailed("Each worker that tried this died; its log says why.")
        )
        await self._claims.give_up(pending.question)
