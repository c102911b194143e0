"""Questions that are being answered, and the requests that wait for them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.contract.question import Question
from shared.rankings.ranking import Ranking


@dataclass(eq=False)
class PendingQuestion:
    """A question that is being answered, and the requests that wait for it.

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
        The answer, or why there is none; None until then.
    started : float
        Monotonic time at which it was asked.
    sent : float
        Monotonic time at which its last job was queued.
    tries : int
        Jobs that were queued for it.
    queued : asyncio.Event
        Set when its job can be looked at, or there will be none.
    waiting : list of asyncio.Future of None
        One for each request that waits.
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

    def resolve(self, outcome: Ranking | Exception) -> None:
        """Give all requests that wait the answer; only the first one counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


class PendingQuestions(dict[Question, PendingQuestion]):
    """All questions that this process is having answered.

    It is a dictionary itself, because every question is looked up here several times.

    Parameters
    ----------
    on_resolved : callable
        Called with a job's id for each of its questions that it need not answer any more.

    Attributes
    ----------
    last_answer : float
        Monotonic time of the last answer.
    newest_answered : float
        Monotonic time at which the youngest job that has answered was queued.
    """

    def __init__(self, on_resolved: Callable[[str], None]) -> None:
        super().__init__()
        self._on_resolved = on_resolved
        self.last_answer = 0.0
        self.newest_answered = 0.0

    def resolve(self, pending: PendingQuestion, outcome: Ranking | Exception) -> None:
        """Give all requests that wait for a question its answer."""
        if self.get(pending.question) is pending:
            del self[pending.question]
        self._on_resolved(pending.job_id)
        pending.resolve(outcome)

    def follow(self, pending: PendingQuestion, job_id: str) -> None:
        """Note that a job of another gateway computes the answer."""
        self._on_resolved(pending.job_id)
        pending.job_id = job_id


class WaitTimer:
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
        """Return a future that raises ``TimeoutError`` when the time is over, unless it is done by then."""
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
