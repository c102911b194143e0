"""Answers a question with a ranking: from the cache, or from the workers, asking each question once.

One computation serves all requests for the same ranking: within this process through a table of pending
questions, across processes through claims in Redis. Nothing polls: workers publish what they have written on
one channel, which each gateway subscribes to before it asks for anything.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

import redis
import redis.asyncio
from redis.exceptions import RedisError

from gateway.background_tasks import Supervisor, TaskSet
from gateway.http.problems import QueueUnreachable
from gateway.load.admission import Admission
from gateway.load.workers import Workers
from gateway.rankings.batching import Batch, Batcher
from gateway.rankings.cache import RankingCache
from gateway.rankings.claims import BatchSender, Claims
from gateway.rankings.collecting import AnswerCollector
from gateway.rankings.lost_questions import LostQuestions
from gateway.rankings.news import NewsListener
from gateway.rankings.pending import PendingQuestion, PendingQuestions, WaitTimer
from shared.contract.news import News
from shared.contract.question import Question
from shared.rankings.ranking import Ranking

_SWEEP_INTERVAL_SECONDS = 0.25


class Found(NamedTuple):
    """A ranking and where it comes from.

    Attributes
    ----------
    ranking : Ranking
        The answer.
    cached : bool
        Whether the cache had it.
    fresh : bool
        Whether it may be shown again; not if data or model changed while it was computed.
    """

    ranking: Ranking
    cached: bool
    fresh: bool


class StillWorkingError(Exception):
    """The wait budget ended first.

    Parameters
    ----------
    job_id : str
        Job that computes the answer.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


class Dispatcher:
    """Answers questions, and asks the workers at most once for each.

    Parameters
    ----------
    cache : RankingCache
        What was answered before.
    queue : redis.asyncio.Redis
        Of the claims and the news.
    jobs : redis.Redis
        The same Redis for RQ, which only puts commands together; nothing is sent through it.
    workers : Workers
        Which workers are alive.
    admission : Admission
        Refuses what would not be answered in time.
    require_subject : callable
        Refuses questions about users or movies that do not exist.
    forget : callable
        Told what has changed, and None when anything may have.
    wait_budget : timedelta
        Longest that a caller waits.

    Attributes
    ----------
    pending : PendingQuestions
        What the workers were asked and have not answered.
    """

    def __init__(
        self,
        cache: RankingCache,
        queue: redis.asyncio.Redis,
        jobs: redis.Redis,
        workers: Workers,
        admission: Admission,
        require_subject: Callable[[Question], Awaitable[None]],
        forget: Callable[[News | None], None],
        wait_budget: timedelta,
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._admission = admission
        self._require_subject = require_subject
        self._timer = WaitTimer(wait_budget.total_seconds())
        self._tasks = TaskSet()
        self._batcher = Batcher(self._send, lambda: workers.able_workers)
        self.pending = PendingQuestions(self._batcher.resolved)
        claims = Claims(queue, jobs, workers.clock, 2 * wait_budget.total_seconds())
        collect = AnswerCollector(cache, self.pending, workers, admission, claims.queue_again).collect
        self._sender = BatchSender(claims, self.pending, collect)
        self._news = NewsListener(queue, self.pending, workers, collect, forget, self._tasks)
        self._lost = LostQuestions(self.pending, workers, claims, collect, wait_budget)

    async def start(self, supervisor: Supervisor) -> None:
        """Listen to the workers before anything is asked."""
        supervisor.keep("news", self._news.listen)
        supervisor.every(_SWEEP_INTERVAL_SECONDS, "lost questions", self._lost.look)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.listening.wait(), timeout=2)

    async def stop(self) -> None:
        """Give an error to every request that waits and end all tasks."""
        await self._tasks.end()
        for pending in list(self.pending.values()):
            self.pending.resolve(pending, QueueUnreachable("This gateway is shutting down; ask again."))

    async def ask(self, question: Question, fingerprint: str, *, wait: bool) -> Found:
        """Return a ranking from the cache, or have it computed.

        Parameters
        ----------
        question : Question
            What to rank.
        fingerprint : str
            Of the data; what was computed from other data is computed again.
        wait : bool
            Whether to wait at all for what is not in the cache.

        Raises
        ------
        StillWorkingError
            If it is not ready within the wait budget.
        UnknownUser, UnknownMovie, NoWorkers, QueueFull, QueueUnreachable, DatabaseUnavailable,
        ComputationFailed
            If it will not be.
        """
        # Whatever the cache holds: what is made up must neither be served nor fill the queue.
        await self._require_subject(question)
        self._admission.being_read += 1
        try:
            cached = await self._cache.read(question)
        except (RedisError, OSError) as error:
            raise QueueUnreachable.because(error) from None
        finally:
            self._admission.being_read -= 1
        usable = cached.is_fresh(self._workers.versions, fingerprint)
        self._admission.note_read(usable)
        if cached.ranking is not None and usable:
            return Found(cached.ranking, cached=True, fresh=True)
        pending = self.pending.get(question) or self._start(question, fingerprint, cached.changes)
        if not wait:
            await pending.queued.wait()  # so that the job that is named exists
            if pending.outcome is None:
                raise StillWorkingError(pending.job_id)
        else:
            # A waiter of its own: a request that gives up must not take the answer from the others.
            waiter = self._timer.begin()
            pending.waiting.append(waiter)
            try:
                await waiter
            except TimeoutError:
                raise StillWorkingError(pending.job_id) from None
        return self._computed(pending, fingerprint)

    def _start(self, question: Question, fingerprint: str, changes: int) -> PendingQuestion:
        self._admission.admit(len(self.pending))
        pending = self._batcher.add(question, fingerprint, changes)
        self.pending[question] = pending
        return pending

    def _computed(self, pending: PendingQuestion, fingerprint: str) -> Found:
        """Return the answer to a question that was resolved, or raise why there is none."""
        ranking = pending.outcome
        assert ranking is not None
        if isinstance(ranking, Exception):
            raise ranking
        # Its count of changes was compared when it was read.
        fresh = ranking.is_fresh(self._workers.versions, fingerprint, ranking.changes)
        return Found(ranking, cached=False, fresh=fresh)

    def _send(self, batch: Batch) -> None:
        self._tasks.spawn(self._sender.send(batch))
