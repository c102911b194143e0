"""Reads answers from the cache and hands them to the requests that wait."""

import time
from collections.abc import Awaitable, Callable

from gateway.load.admission import Admission
from gateway.load.workers import Workers
from gateway.rankings.cache import RankingCache
from gateway.rankings.pending import PendingQuestion, PendingQuestions
from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import Kind
from shared.contract.question import Question


class AnswerCollector:
    """Hands answers from the cache to the requests that wait.

    Parameters
    ----------
    cache : RankingCache
        Where workers write them.
    pending : PendingQuestions
        What is waited for.
    workers : Workers
        Whose model versions count as fresh.
    admission : Admission
        Learns from it how fast questions are answered.
    ask_again : callable
        Queues another job for questions of one kind whose answer is out of date.
    """

    def __init__(
        self,
        cache: RankingCache,
        pending: PendingQuestions,
        workers: Workers,
        admission: Admission,
        ask_again: Callable[[Kind, list[PendingQuestion]], Awaitable[None]],
    ) -> None:
        self._cache = cache
        self._pending = pending
        self._workers = workers
        self._admission = admission
        self._ask_again = ask_again

    async def collect(self, questions: list[Question], *, just_written: bool) -> None:
        """Hand out what the cache has by now.

        Parameters
        ----------
        questions : list of Question
            What may be there.
        just_written : bool
            Whether workers have just said so; otherwise what is there may be an old answer.

        Raises
        ------
        RedisError, OSError
            If the cache does not answer.
        """
        for start in range(0, len(questions), BATCH_LIMIT):
            await self._collect_batch(questions[start : start + BATCH_LIMIT], just_written)

    async def _collect_batch(self, questions: list[Question], just_written: bool) -> None:
        table = self._pending
        outdated: dict[Kind, list[PendingQuestion]] = {}
        answered = 0
        for question, cached in zip(questions, await self._cache.read_many(questions), strict=True):
            pending = table.get(question)
            if pending is None or cached.ranking is None:
                continue
            if cached.ranking.changes != cached.changes:
                if just_written:  # ratings changed while it was computed
                    pending.changes = cached.changes
                    outdated.setdefault(question.kind, []).append(pending)
            elif just_written or cached.is_fresh(self._workers.versions, pending.fingerprint):
                table.newest_answered = max(table.newest_answered, pending.sent)
                table.resolve(pending, cached.ranking)
                answered += 1
        if answered:
            table.last_answer = time.monotonic()
            self._admission.delivered(answered, len(table))
        for kind, again in outdated.items():
            await self._ask_again(kind, again)
