"""Claims questions in Redis before their job is queued, so that of several gateways only one asks."""

import re
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.http.problems import ComputationFailed, QueueUnreachable
from gateway.rankings.batching import Batch
from gateway.rankings.pending import PendingQuestion, PendingQuestions
from shared.contract import keys
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.queue.clock import RedisClock
from shared.queue.jobs import ranking_commands

log = structlog.get_logger(__name__)

CLAIM = """
local holders, held = {}, false
for i, key in ipairs(KEYS) do
  if redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) then
    holders[i] = false
  else
    local holder = redis.pcall('GET', key)
    if type(holder) == 'table' then
      redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
      holders[i] = false
    else
      holders[i], held = holder, true
    end
  end
end
local at = 3
while not held and at < #ARGV do
  local last = at + tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return holders
"""
"""Claims all questions of a batch, and queues their job if nobody else has any of them: one round trip.

What is no string where a claim belongs is none.
"""

GIVEN_UP = b"given-up"
"""In place of a job's id in a claim: workers die of this question, so nobody asks it again for a while."""

GIVEN_UP_TTL = timedelta(minutes=1)

_JOB_ID = re.compile(rb"[0-9a-f]{32}")


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
    patience_seconds : float
        How long from now the answer to a job is of use.
    """

    def __init__(
        self, queue: redis.asyncio.Redis, jobs: redis.Redis, clock: RedisClock, patience_seconds: float
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._claim = queue.register_script(CLAIM)

    async def claim_and_queue(self, batch: Batch) -> list[bytes | None]:
        """Return who holds the claim of each question, None for us; if all are ours, they are queued."""
        commands = self._commands(batch.kind, batch.pending, batch.job_id)
        holders: list[bytes | None] = await self._claim(
            keys=[keys.claim(*pending.question) for pending in batch.pending],
            args=[
                batch.job_id,
                round(keys.CLAIM_TTL.total_seconds() * 1000),
                *(word for words in commands for word in (len(words), *words)),
            ],
        )
        return holders

    async def queue(self, kind: Kind, questions: Sequence[PendingQuestion], job_id: str) -> None:
        """Claim questions, whoever holds them, and queue their job."""
        async with self._queue.pipeline(transaction=True) as pipeline:
            for pending in questions:
                pipeline.set(keys.claim(*pending.question), job_id, px=keys.CLAIM_TTL)
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
        await self._queue.set(keys.claim(*question), GIVEN_UP, px=GIVEN_UP_TTL)

    def _commands(
        self, kind: Kind, questions: Sequence[PendingQuestion], job_id: str
    ) -> list[tuple[Any, ...]]:
        return ranking_commands(
            self._jobs,
            RULES[kind].job,
            [pending.question.subject for pending in questions],
            job_id=job_id,
            deadline=self._clock.now() + self._patience_seconds,
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
            elif holder == keys.SETTLED:
                settled.append(pending)
            elif _JOB_ID.fullmatch(holder) is None:
                mine.append(pending)  # no gateway holds it
            else:
                self._pending.follow(pending, holder.decode())
        if settled:  # written after the cache had been read for us
            await self._collect([pending.question for pending in settled], just_written=False)
            mine += [pending for pending in settled if pending.outcome is None]  # stale again
        if mine and holders.count(None) < len(holders):  # else they were queued with the claims
            await self._claims.queue(batch.kind, mine, batch.job_id)
