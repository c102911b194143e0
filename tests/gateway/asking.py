"""A dispatcher in this process, on a real Redis where the test says who works and what they answer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import NAMESPACE_OID, uuid5

import redis
import redis.asyncio

from gateway.background_tasks import Supervisor
from gateway.http.problems import Problem
from gateway.load.admission import Admission
from gateway.load.workers import Workers
from gateway.rankings.cache import RankingCache
from gateway.rankings.claims import Claims
from gateway.rankings.dispatcher import Dispatcher, Found, StillWorkingError
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.connections import connect, connect_async
from shared.queue.heartbeat import Heartbeat
from shared.queue.jobs import open_queue
from shared.rankings import claims
from shared.rankings.ranking import Ranking
from shared.rankings.store import write_rankings

VERSION = "20261122T201530Z-svd-1f3c9a"
DATA = "0123456789abcdef"


def ranking(
    subject: int,
    *,
    kind: Kind = Kind.SUGGESTED,
    version: str = VERSION,
    data: str = DATA,
    changes: int = 0,
) -> Ranking:
    """Return a ranking that tells by its only movie whose it is."""
    decimals = RULES[kind].decimals
    return Ranking(version, data, decimals, (subject + 1000,), (10**decimals,), changes)


def suggested(*ids: int) -> list[Question]:
    """Return questions for suggestions."""
    return [Question(Kind.SUGGESTED, subject) for subject in ids]


@dataclass
class Harness:
    """A dispatcher and all that it needs.

    Attributes
    ----------
    dispatcher : Dispatcher
        What is tested.
    workers : Workers
        Its workers, as it sees them.
    admission : Admission
        What it refuses.
    supervisor : Supervisor
        Of their background tasks.
    queue : redis.asyncio.Redis
        Its Redis.
    client : redis.Redis
        The same, for the test.
    forgotten : list of News or None
        What it said to have changed.
    """

    dispatcher: Dispatcher
    workers: Workers
    admission: Admission
    supervisor: Supervisor
    queue: redis.asyncio.Redis
    client: redis.Redis
    forgotten: list[News | None] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether the workers have all that they can answer in time."""
        return self.admission.is_full(len(self.dispatcher.pending))

    @property
    def claims(self) -> Claims:
        """What the dispatcher claims questions with."""
        return self.dispatcher._sender._claims

    def awaits(self, question: Question) -> bool:
        """Tell whether an answer is under way."""
        return question in self.dispatcher.pending

    async def ask(self, question: Question, *, data: str = DATA, wait: bool = True) -> Found:
        """Ask as a route does."""
        return await self.dispatcher.ask(question, data, wait=wait)

    async def outcome(self, question: Question, *, wait: bool = False) -> Found | StillWorkingError | Problem:
        """Return what an answer or a refusal came to."""
        try:
            return await self.ask(question, wait=wait)
        except (StillWorkingError, Problem) as error:
            return error

    def write(self, *rankings: tuple[Question, Ranking]) -> None:
        """Write rankings to the cache and say nothing."""
        write_rankings(self.client, rankings)

    def tell(self, event: RankingEvent, *questions: Question) -> None:
        """Publish news of questions of one kind."""
        (kind,) = {question.kind for question in questions}
        ids = [question.subject for question in questions]
        self.client.publish(keys.ANSWERS_CHANNEL, News(event, kind, ids).to_text())

    def answer(self, *rankings: tuple[Question, Ranking]) -> None:
        """Do as a worker that has computed rankings of one kind."""
        self.write(*rankings)
        for question, _ in rankings:
            self.client.set(keys.claim(*question), claims.SETTLED, px=claims.SETTLED_TTL)
        self.tell(RankingEvent.WRITTEN, *(question for question, _ in rankings))

    def jobs(self) -> list[list[int]]:
        """Return the ids of each job in the queue."""
        return [job.kwargs["ids"] for job in open_queue(QueueName.SERVE, self.client).jobs]

    async def announce(self, name: str, version: str | None = VERSION) -> None:
        """Let a worker be alive until the test is over, and the gateway know of it."""
        announce(self.client, name, version)
        await self.workers.look()


def announce(client: redis.Redis, name: str, version: str | None, queue: QueueName = QueueName.SERVE) -> None:
    """Put the heartbeat of a worker into Redis that never expires."""
    worker_id = uuid5(NAMESPACE_OID, name).hex
    heartbeat = Heartbeat(worker_id=worker_id, queue=queue, host="here", pid=1, model_version=version)
    client.set(keys.worker(worker_id), heartbeat.model_dump_json())
    client.sadd(keys.workers(queue), worker_id)


async def everything_exists(question: Question) -> None:
    pass


@asynccontextmanager
async def open_harness(
    url: str,
    *,
    alive: Sequence[str] = ("worker",),
    wait_budget: float = 5.0,
    require_subject: Callable[[Question], Awaitable[None]] = everything_exists,
) -> AsyncIterator[Harness]:
    """Open a harness with workers that are alive, and do not work."""
    queue, cache, client = connect_async(url, 1.5), connect_async(url, 1.5), connect(url)
    forgotten: list[News | None] = []
    for name in alive:
        announce(client, name, VERSION)
    workers = Workers(queue, None, lambda: None)
    admission = Admission(workers, 200)
    supervisor = Supervisor()
    await workers.start(supervisor)
    dispatcher = Dispatcher(
        RankingCache(cache),
        queue,
        client,
        workers,
        admission,
        require_subject,
        forgotten.append,
        timedelta(seconds=wait_budget),
    )
    await dispatcher.start(supervisor)
    try:
        yield Harness(dispatcher, workers, admission, supervisor, queue, client, forgotten)
    finally:
        await supervisor.stop()
        await dispatcher.stop()
        await queue.aclose()
        await cache.aclose()
        client.close()
