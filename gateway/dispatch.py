"""From a question to a ranking: cache, single flight, batches, waiting.

One computation serves everybody who asks for the same ranking meanwhile: within this process through a table
of flights, across processes through claims in Redis. Nobody polls: workers publish what they have written on
one channel, which each gateway subscribes to before it asks for anything.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway.fleet import Fleet
from gateway.problems import ComputationFailed, QueueUnreachable
from shared import keys
from shared.broker import enqueue_rankings
from shared.contract import BATCH_LIMIT, RULES, Kind, News, RankingEvent
from shared.ranking import Ranking

log = structlog.get_logger(__name__)

GATHER_DELAY = timedelta(milliseconds=4)
"""How long a batch waits for company while others are under way; alone it leaves at once."""

RETRY_AFTER = timedelta(seconds=1)
"""Age at which a question that an idle queue has not answered is asked again: its worker has died."""

_SWEEP_INTERVAL_SECONDS = 0.25
_RECONNECT_DELAY_SECONDS = 0.5


@dataclass(frozen=True)
class Question:
    """What is to be ranked, for whom, and from which data."""

    kind: Kind
    entity_id: int


@dataclass(frozen=True)
class Answer:
    """A ranking, and whether the cache had it."""

    ranking: Ranking
    cached: bool


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


@dataclass(eq=False)
class _Flight:
    """A question under way and all who wait for it."""

    question: Question
    revision: int
    job_id: str
    future: asyncio.Future[Ranking]
    started: float = field(default_factory=time.monotonic)
    asked_again: bool = False


@dataclass
class _Batch:
    """Questions of one kind that will share a job."""

    kind: Kind
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    flights: list[_Flight] = field(default_factory=list)


class Dispatcher:
    """Asks the workers, at most once for each question.

    Parameters
    ----------
    cache : redis.asyncio.Redis
        Of the rankings.
    queue : redis.asyncio.Redis
        Of the claims and the news.
    jobs : redis.Redis
        The same Redis for RQ, which is not asynchronous; used in a thread.
    fleet : Fleet
        Who is there to work.
    wait_budget : timedelta
        Longest that a caller waits.
    """

    def __init__(
        self,
        cache: redis.asyncio.Redis,
        queue: redis.asyncio.Redis,
        jobs: redis.Redis,
        fleet: Fleet,
        wait_budget: timedelta,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._jobs = jobs
        self._fleet = fleet
        self._wait_budget = wait_budget.total_seconds()
        self._flights: dict[Question, _Flight] = {}
        self._batches: dict[Kind, _Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen to the workers before anything is asked."""
        listening = asyncio.Event()
        self._spawn(self._listen(listening))
        self._spawn(self._sweep())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listening.wait(), timeout=2)

    async def stop(self) -> None:
        """Leave every waiter with an error and end all tasks."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for flight in list(self._flights.values()):
            self._fail(flight, QueueUnreachable("This gateway is shutting down; ask again."))

    async def ask(self, question: Question, revision: int, *, wait: bool) -> Answer:
        """Return a ranking from the cache, or have it computed.

        Parameters
        ----------
        question : Question
            What to rank.
        revision : int
            Of the data; what was computed from older data is computed again.
        wait : bool
            Whether to wait at all for what is not in the cache.

        Raises
        ------
        StillWorkingError
            If it is not ready within the wait budget.
        NoWorkers, QueueFull, QueueUnreachable, ComputationFailed
            If it will not be.
        """
        cached = (await self._read([question]))[0]
        if cached is not None and self._is_fresh(cached, revision):
            return Answer(cached, cached=True)
        flight = self._flights.get(question)
        if flight is None:
            self._fleet.require_capacity()
            flight = self._take_off(question, revision)
        if not wait:
            raise StillWorkingError(flight.job_id)
        try:
            # Shielded: one caller who gives up must not take the answer from the others.
            ranking = await asyncio.wait_for(asyncio.shield(flight.future), self._wait_budget)
        except TimeoutError:
            raise StillWorkingError(flight.job_id) from None
        return Answer(ranking, cached=False)

    def _take_off(self, question: Question, revision: int) -> _Flight:
        batch = self._batches.get(question.kind)
        if batch is None:
            batch = self._batches[question.kind] = _Batch(question.kind)
            crowded = bool(self._flights)
            self._spawn(self._send_later(batch, GATHER_DELAY.total_seconds() if crowded else 0.0))
        flight = _Flight(question, revision, batch.job_id, asyncio.get_running_loop().create_future())
        # An error that nobody waited for is not worth a warning at shutdown.
        flight.future.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._flights[question] = flight
        batch.flights.append(flight)
        if len(batch.flights) >= BATCH_LIMIT:
            del self._batches[question.kind]  # full: the next question opens a new one
        return flight

    async def _send_later(self, batch: _Batch, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._batches.get(batch.kind) is batch:
            del self._batches[batch.kind]
        try:
            mine = await self._claim(batch)
            if mine:
                await self._enqueue(batch.kind, mine, batch.job_id)
        except (RedisError, OSError) as error:
            log.warning("questions could not be queued", reason=str(error), questions=len(batch.flights))
            for flight in batch.flights:
                self._fail(flight, QueueUnreachable("Redis does not answer; try again soon."))

    async def _claim(self, batch: _Batch) -> list[_Flight]:
        """Return the flights that no other gateway has under way; the others know its job from now on."""
        async with self._queue.pipeline(transaction=False) as pipeline:
            for flight in batch.flights:
                key = keys.claim(batch.kind, flight.question.entity_id)
                pipeline.set(key, batch.job_id, nx=True, px=keys.CLAIM_TTL)
                pipeline.get(key)
            replies = await pipeline.execute()
        mine = []
        for flight, won, holder in zip(batch.flights, replies[::2], replies[1::2], strict=True):
            # A claim that vanished between the two commands was answered just then: ask anew.
            if won or holder is None:
                mine.append(flight)
            else:
                flight.job_id = holder.decode()
        return mine

    async def _enqueue(self, kind: Kind, flights: Iterable[_Flight], job_id: str) -> None:
        ids = [flight.question.entity_id for flight in flights]
        # Whoever asked is told 202 after the wait budget and comes back for as long again.
        deadline = time.time() + 2 * self._wait_budget
        await asyncio.to_thread(
            enqueue_rankings, self._jobs, RULES[kind].job, ids, job_id=job_id, deadline=deadline
        )

    async def _read(self, questions: list[Question]) -> list[Ranking | None]:
        """Read rankings from the cache in one round trip."""
        if len(questions) == 1:
            key, name = keys.ranking(questions[0].kind, questions[0].entity_id)
            values: list[Any] = [await self._cache.hget(key, name)]
        else:
            async with self._cache.pipeline(transaction=False) as pipeline:
                for question in questions:
                    pipeline.hget(*keys.ranking(question.kind, question.entity_id))
                values = await pipeline.execute()
        return [Ranking.from_bytes(value) if value else None for value in values]

    async def _listen(self, listening: asyncio.Event) -> None:
        """Hear the news; after a pause of the connection, look for what was missed."""
        while True:
            try:
                async with self._queue.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(keys.ANSWERS_CHANNEL)
                    listening.set()
                    await self._collect(list(self._flights), just_written=False)
                    while True:
                        message = await pubsub.get_message(timeout=60)
                        news = News.from_text(message["data"].decode()) if message else None
                        if news is not None:
                            await self._deliver(news)
            except (RedisError, OSError) as error:
                log.warning("no news from the workers", reason=str(error))
                await asyncio.sleep(_RECONNECT_DELAY_SECONDS)

    async def _deliver(self, news: News) -> None:
        awaited = [question for i in news.ids if (question := Question(news.kind, i)) in self._flights]
        if news.event is RankingEvent.WRITTEN:
            await self._collect(awaited, just_written=True)
            return
        for question in awaited:
            problem = ComputationFailed("A worker could not compute this; its log says why.")
            self._fail(self._flights[question], problem)

    async def _collect(self, questions: list[Question], *, just_written: bool) -> None:
        """Hand out what the cache has by now; what was not written just now may be the stale one."""
        if not questions:
            return
        for question, ranking in zip(questions, await self._read(questions), strict=True):
            flight = self._flights.get(question)
            if flight is None or ranking is None:
                continue
            if just_written or self._is_fresh(ranking, flight.revision):
                del self._flights[question]
                if not flight.future.done():
                    flight.future.set_result(ranking)

    def _is_fresh(self, ranking: Ranking, revision: int) -> bool:
        return ranking.revision == revision and ranking.version in self._fleet.versions

    def _fail(self, flight: _Flight, problem: Exception) -> None:
        self._flights.pop(flight.question, None)
        if not flight.future.done():
            flight.future.set_exception(problem)

    async def _sweep(self) -> None:
        """Ask again what a dead worker took along, and forget what nobody waits for any more."""
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL_SECONDS)
            now = time.monotonic()
            stuck: dict[Kind, list[_Flight]] = {}
            for flight in list(self._flights.values()):
                age = now - flight.started
                if age > 2 * self._wait_budget:
                    self._fail(flight, ComputationFailed("No worker answered in time."))
                elif (
                    age > RETRY_AFTER.total_seconds()
                    and not flight.asked_again
                    and self._fleet.waiting_jobs == 0
                ):
                    flight.asked_again = True
                    stuck.setdefault(flight.question.kind, []).append(flight)
            for kind, flights in stuck.items():
                with contextlib.suppress(RedisError, OSError):
                    await self._ask_again(kind, flights)

    async def _ask_again(self, kind: Kind, flights: list[_Flight]) -> None:
        # The news may have come while the connection was being renewed.
        await self._collect([flight.question for flight in flights], just_written=False)
        flights = [flight for flight in flights if not flight.future.done()]
        for start in range(0, len(flights), BATCH_LIMIT):
            part = flights[start : start + BATCH_LIMIT]
            log.warning("asking again", kind=kind.value, questions=len(part))
            await self._enqueue(kind, part, uuid.uuid4().hex)

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
