"""Gathers questions into batches, one job each."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.rankings.pending import PendingQuestion
from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import Kind
from shared.contract.question import Question

LONGEST_GATHERING_SECONDS = 0.025
"""How long a batch waits for a free worker before it leaves all the same."""

JOBS_PER_WORKER = 2
"""One that is being worked on and one that waits, so that no worker has to wait for us."""


@dataclass(eq=False)
class Batch:
    """Questions of one kind that share a job."""

    kind: Kind
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    queued: asyncio.Event = field(default_factory=asyncio.Event)
    pending: list[PendingQuestion] = field(default_factory=list)


class Batcher:
    """Gathers questions into jobs, as many as the workers' pace allows.

    While a worker is free a question leaves at once. When all are busy, waiting costs nothing: questions
    gather until a job is done or the batch is full. So batches grow with the load and with the time that a
    job takes, and nothing needs to be tuned.

    Parameters
    ----------
    send : callable
        Takes a batch that is ready.
    workers : callable
        Returns how many workers are able to answer.
    """

    def __init__(self, send: Callable[[Batch], None], workers: Callable[[], int]) -> None:
        self._send = send
        self._workers = workers
        self._gathering: dict[Kind, Batch] = {}
        self._unanswered: dict[str, int] = {}  # job -> its questions

    def add(self, question: Question, fingerprint: str, changes: int) -> PendingQuestion:
        """Let a question join the next job of its kind."""
        loop = asyncio.get_running_loop()
        batch = self._gathering.get(question.kind)
        if batch is None:
            batch = self._gathering[question.kind] = Batch(question.kind)
            if self._free():
                loop.call_soon(self._leave, batch)  # with whatever comes at this very moment
            else:
                loop.call_later(LONGEST_GATHERING_SECONDS, self._leave, batch)
        pending = PendingQuestion(question, fingerprint, changes, batch.job_id, batch.queued)
        batch.pending.append(pending)
        if len(batch.pending) >= BATCH_LIMIT:
            self._leave(batch)
        return pending

    def resolved(self, job_id: str) -> None:
        """Note that a question of a job has its answer, or will never have one from it."""
        left = self._unanswered.get(job_id, 0) - 1
        if left > 0:
            self._unanswered[job_id] = left
        elif self._unanswered.pop(job_id, None) is not None:
            for batch in list(self._gathering.values()):
                if self._free():
                    self._leave(batch)

    def _free(self) -> bool:
        return len(self._unanswered) < JOBS_PER_WORKER * max(1, self._workers())

    def _leave(self, batch: Batch) -> None:
        if self._gathering.get(batch.kind) is batch:
            del self._gathering[batch.kind]
            self._unanswered[batch.job_id] = len(batch.pending)
            self._send(batch)
