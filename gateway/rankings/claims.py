"""Claims questions in Redis before their job is queued, so that of several gateways only one asks."""

import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.http.problems import ComputationFailed, QueueUnreachable
from gateway.rankings.batching import Batch
from gateway.rankings.pending import PendingQuestion, PendingQuestions
from shared.contract.jobs import is_job_id
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.queue.clock import RedisClock
from shared.queue.jobs import ranking_commands
from shared.rankings.claims import (
    CLAIM_SCRIPT,
    GIVEN_UP,
    SETTLED,
    claim_arguments,
    give_up_claims,
    take_claims,
)

log = structlog.get_logger(__name__)


class Collect(Protocol):
    """Hands out what the cache has, see :meth:`gateway.rankings.collecting.AnswerCollector.collect`."""

    async def __call__(self, questions: list[Question], *, just_written: bool) -> None:
        """Hand out the answers to questions."""


class Claims:
    """Claims questions and queues their jobs.

    Parameters
    ----------
    queue : redis.asyncio.Redis
        Of the claims and the jobs.
    jobs : redis.Redis
        The same Redis for RQ, which only puts commands together; nothing is sent through it.
    clock : RedisClock
        For the deadlines of jobs.
    deadline_seconds : float
        How long from now the answer to a job is waited for.
    """

    def __init__(
        self, queue: redis.asyncio.Redis, jobs: redis.Redis, clock: RedisClock, deadline_seconds: float
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._claim = queue.register_script(CLAIM_SCRIPT)

    async def claim_and_queue(self, batch: Batch) -> list[bytes | None]:
        """Return who holds the claim of each question, None for us; if all are ours, they are queued."""
        commands = self._commands(batch.kind, batch.pending, batch.job_id)
        names, arguments = claim_arguments(
            (pending.question for pending in batch.pending), batch.job_id, commands
        )
        holders: list[bytes | None] = await self._claim(keys=names, args=arguments)
        return holders

    async def queue(self, kind: Kind, questions: Sequence[PendingQuestion], job_id: str) -> None:
        """Queue a job for questions, and claim them even if another job holds them."""
        async with self._queue.pipeline(transaction=True) as pipeline:
            take_claims(pipeline, (pending.question for pending in questions), job_id)
            for words in self._commands(kind, questions, job_id):
                pipeline.execute_command(*words)
            await pipeline.execute()

    async def queue_again(self, kind: Kind, questions: Sequence[PendingQuestion]) -> None:
        """Queue another job for questions that were queued before."""
        for pending in questions:
            pending.tries += 1
            pending.sent = time.monotonic()
        await self.queue(kind, questions, uuid.uuid4().hex)

    async def give_up(self, question: Question) -> None:
        """Keep every gateway from asking a question, for a while."""
        async with self._queue.pipeline(transaction=False) as pipeline:
            give_up_claims(pipeline, [question])
            await pipeline.execute()

    def _commands(
        self, kind: Kind, questions: Sequence[PendingQuestion], job_id: str
    ) -> list[tuple[Any, ...]]:
        return ranking_commands(
            self._jobs,
            RULES[kind].job,
            [pending.question.subject for pending in questions],
            job_id=job_id,
            deadline=self._clock.now() + self._deadline_seconds,
            changes=[pending.changes for pending in questions],
        )


class BatchSender:
    """Sends batches to the workers, without the questions that another gateway has asked.

    Parameters
    ----------
    claims : Claims
        Tells which those are.
    pending : PendingQuestions
        Where answers and failures are noted.
    collect : Collect
        Hands out what was answered a moment ago.
    """

    def __init__(self, claims: Claims, pending: PendingQuestions, collect: Collect) -> None:
        self._claims = claims
        self._pending = pending
        self._collect = collect

    async def send(self, batch: Batch) -> None:
        """Queue a batch; errors are given to the requests that wait."""
        try:
            await self._send(batch)
        except (RedisError, OSError) as error:
            log.warning("questions could not be queued", reason=str(error), questions=len(batch.pending))
            for pending in batch.pending:
                self._pending.resolve(pending, QueueUnreachable.because(error))
        except Exception:
            log.exception("questions could not be queued", questions=len(batch.pending))
            problem = "This could not be asked; the gateway's log says why."
            for pending in batch.pending:
                self._pending.resolve(pending, ComputationFailed(problem))
        finally:
            batch.queued.set()

    async def _send(self, batch: Batch) -> None:
        mine: list[PendingQuestion] = []
        settled: list[PendingQuestion] = []
        holders = await self._claims.claim_and_queue(batch)
        for pending, holder in zip(batch.pending, holders, strict=True):
            if holder is None:
                mine.append(pending)
            elif holder == GIVEN_UP:
                problem = "Workers died of this question; try again in a minute."
                self._pending.resolve(pending, ComputationFailed(problem))
            elif holder == SETTLED:
                settled.append(pending)
            elif not is_job_id(holder):
                mine.append(pending)  # no gateway holds it
            else:
                self._pending.follow(pending, holder.decode())
        if settled:  # written after the cache had been read for us
            await self._collect([pending.question for pending in settled], just_written=False)
            mine += [pending for pending in settled if pending.outcome is None]  # stale again
        if mine and holders.count(None) < len(holders):  # else they were queued with the claims
            await self._claims.queue(batch.kind, mine, batch.job_id)
