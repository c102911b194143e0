"""Questions under way, and the batches that they travel in."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.rankings.ranking import Ranking

LONGEST_GATHERING_SECONDS = 0.025
"""How long a batch waits for a free worker before it leaves all the same."""

JOBS_PER_WORKER = 2
"""One that is being worked on and one that waits, so that no worker has to wait for us."""


@dataclass(eq=False)
class Flight:
    """A question under way and all who wait for it.

    Attributes
    ----------
    question : Question
        What is to be ranked.
    fingerprint : str
        Of the data that the answer should be computed from.
    changes : int
        Count of changes of the user's ratings that it should have.
    job_id : str
        Job that computes it.
    outcome : Ranking or Exception or None
        The answer, or why there is none; None while it is under way.
    started : float
        Monotonic time at which it was asked.
    sent : float
        Monotonic time at which its last job was queued.
    tries : int
        Jobs that were queued for it.
    queued : asyncio.Event
        Set when its job can be looked at, or there will be none.
    waiting : list of asyncio.Future of None
        Of those who wait, until there is an answer or their patience ends.
    """

    question: Question
    fingerprint: str
    changes: int
    job_id: str
    queued: asyncio.Event
    started: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.monotonic)
    tries: int = 1
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    outcome: Ranking | Exception | None = None

    def land(self, outcome: Ranking | Exception) -> None:
        """Give all who wait the answer; only the first one counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


class Patience:
    """Ends waits that have lasted too long, with one timer for all.

    They are equally long, so the first to begin is the first to end. A timer for each, and a shield around
    what all wait for, took a twentieth of the gateway's time.

    Parameters
    ----------
    seconds : float
        Longest wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Future[None]:
        """Return what raises ``TimeoutError`` when the time is over, unless it is done by then."""
        loop = asyncio.get_running_loop()
        waits = self._waits
        while waits and waits[0][1].done():
            waits.popleft()
        wait: asyncio.Future[None] = loop.create_future()
        waits.append((loop.time() + self._seconds, wait))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end)
        return wait

    def _end(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waits:
            ends, wait = self._waits[0]
            if not wait.done():
                if ends > loop.time():
                    self._timer = loop.call_at(ends, self._end)
                    return
                wait.set_exception(TimeoutError())
            self._waits.popleft()


@dataclass(eq=False)
class Batch:
    """Questions of one kind that share a job."""

    kind: Kind
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    queued: asyncio.Event = field(default_factory=asyncio.Event)
    flights: list[Flight] = field(default_factory=list)


class Batches:
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
        self._unanswered: dict[str, int] = {}  # job -> its flights

    def add(self, question: Question, fingerprint: str, changes: int) -> Flight:
        """Let a question join the next job of its kind."""
        loop = asyncio.get_running_loop()
        batch = self._gathering.get(question.kind)
        if batch is None:
            batch = self._gathering[question.kind] = Batch(question.kind)
            if self._free():
                loop.call_soon(self._leave, batch)  # with whatever comes at this very moment
            else:
                loop.call_later(LONGEST_GATHERING_SECONDS, self._leave, batch)
        flight = Flight(question, fingerprint, changes, batch.job_id, batch.queued)
        batch.flights.append(flight)
        if len(batch.flights) >= BATCH_LIMIT:
            self._leave(batch)
        return flight

    def landed(self, job_id: str) -> None:
        """Note that a flight of a job has its answer, or will never have one from it."""
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
            self._unanswered[batch.job_id] = len(batch.flights)
            self._send(batch)
