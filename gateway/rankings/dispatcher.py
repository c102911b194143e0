"""From a question to a ranking: cache, single flight, batches, waiting.

One computation serves everybody who asks for the same ranking meanwhile: within this process through a table
of flights, across processes through claims in Redis. Nobody polls: workers publish what they have written on
one channel, which each gateway subscribes to before it asks for anything.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from gateway import background_tasks
from gateway.http.problems import ComputationFailed, Problem, QueueUnreachable, UnknownUser
from gateway.load.admission import Admission
from gateway.load.workers import Fleet
from gateway.rankings.batching import Batch, Batches, Flight, Patience
from gateway.rankings.cache import RankingCache
from shared.contract import keys
from shared.contract.jobs import BATCH_LIMIT
from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.jobs import ranking_commands
from shared.rankings.claims import (
    CLAIM_SCRIPT,
    GIVEN_UP,
    SETTLED,
    claim_arguments,
    give_up_claims,
    is_job_id,
    take_claims,
)
from shared.rankings.ranking import Ranking

log = structlog.get_logger(__name__)

LOST_AFTER = timedelta(seconds=1)
"""Age from which a question is lost if the queue is idle, or if jobs that were sent after it are done."""

_OVERTAKEN_SECONDS = 0.5
_MOST_TRIES = 2
_SWEEP_INTERVAL_SECONDS = 0.25
_RECONNECT_DELAY_SECONDS = 0.5
_SILENCE_SECONDS = 1.0
"""Pause after which the connection for news is asked whether it lives; after twice that it is renewed."""

_FOUND_WEIGHT = 0.01
"""Of one question in the share that the cache had the answer to."""


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
    """Asks the workers, at most once for each question.

    Parameters
    ----------
    cache : RankingCache
        What was answered before.
    queue : redis.asyncio.Redis
        Of the claims and the news.
    jobs : redis.Redis
        The same Redis for RQ, which only puts commands together; nothing is sent through it.
    fleet : Fleet
        Who is there to work.
    user_exists : callable
        Tells whether a user has rated anything.
    forget : callable
        Told what has changed, and None when anything may have.
    wait_budget : timedelta
        Longest that a caller waits.

    Attributes
    ----------
    found_share : float
        Part of the latest questions that the cache had the answer to.
    """

    def __init__(
        self,
        cache: RankingCache,
        queue: redis.asyncio.Redis,
        jobs: redis.Redis,
        fleet: Fleet,
        user_exists: Callable[[int], Awaitable[bool]],
        forget: Callable[[News | None], None],
        wait_budget: timedelta,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._jobs = jobs
        self._fleet = fleet
        self._user_exists = user_exists
        self._claim = queue.register_script(CLAIM_SCRIPT)
        self._forget = forget
        self._wait_budget = wait_budget.total_seconds()
        self._flights: dict[Question, Flight] = {}
        self._batches = Batches(
            lambda batch: self._spawn(self._send(batch)), lambda: self._fleet.able_workers
        )
        self._patience = Patience(self._wait_budget)
        self._admission = Admission()
        self.found_share = 1.0
        self._being_read = 0
        self._last_landing = 0.0
        self._newest_landed = 0.0  # when the youngest job that is done was sent
        self._listening = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether the workers have all the questions that they can answer in time.

        What the cache is being asked for counts as well: nearly all of it will want to be computed.
        """
        under_way = len(self._flights) + self._being_read
        return under_way >= self._admission.limit(self._fleet.able_workers)

    def awaits(self, question: Question) -> bool:
        """Tell whether an answer is under way."""
        return question in self._flights

    async def start(self, supervisor: background_tasks.Supervisor) -> None:
        """Listen to the workers before anything is asked."""
        supervisor.keep("news", self._listen)
        supervisor.every(_SWEEP_INTERVAL_SECONDS, "lost questions", self._look_for_lost)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), timeout=2)

    async def stop(self) -> None:
        """Leave every waiter with an error and end all tasks."""
        await background_tasks.end(self._tasks)
        for flight in list(self._flights.values()):
            self._land(flight, QueueUnreachable("This gateway is shutting down; ask again."))

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
        UnknownUser, NoWorkers, QueueFull, QueueUnreachable, DatabaseUnavailable, ComputationFailed
            If it will not be.
        """
        await self._require_entity(question)
        self._being_read += 1
        try:
            cached = await self._cache.read(question)
        except (RedisError, OSError) as error:
            raise QueueUnreachable.because(error) from None
        finally:
            self._being_read -= 1
        usable = cached.is_fresh(self._fleet.versions, fingerprint)
        self.found_share += (usable - self.found_share) * _FOUND_WEIGHT
        if cached.ranking is not None and usable:
            return Found(cached.ranking, cached=True, fresh=True)
        flight = self._flights.get(question) or self._take_off(question, fingerprint, cached.changes)
        if not wait:
            await flight.queued.wait()  # so that the job that is named exists
            if flight.outcome is None:
                raise StillWorkingError(flight.job_id)
        else:
            # A wait of one's own: who gives up must not take the answer from the others.
            landing = self._patience.begin()
            flight.waiting.append(landing)
            try:
                await landing
            except TimeoutError:
                raise StillWorkingError(flight.job_id) from None
        ranking = flight.outcome
        assert ranking is not None  # it has landed
        if isinstance(ranking, Exception):
            raise ranking
        # Its count of changes was compared when it was read.
        fresh = ranking.is_fresh(self._fleet.versions, fingerprint, ranking.changes)
        return Found(ranking, cached=False, fresh=fresh)

    async def _require_entity(self, question: Question) -> None:
        """Refuse made-up users, whatever the cache holds: they must neither be served nor fill the queue."""
        if question.kind is Kind.SUGGESTED and not await self._user_exists(question.subject):
            raise UnknownUser(question.subject)

    def _take_off(self, question: Question, fingerprint: str, changes: int) -> Flight:
        self._fleet.require_capacity()
        self._admission.admit(len(self._flights), self._fleet.able_workers)
        flight = self._batches.add(question, fingerprint, changes)
        self._flights[question] = flight
        return flight

    async def _send(self, batch: Batch) -> None:
        """Queue a batch, all but what another gateway has under way or had a moment ago."""
        try:
            mine, settled = [], []
            holders = await self._claim_and_queue(batch)
            for flight, holder in zip(batch.flights, holders, strict=True):
                if holder is None:
                    mine.append(flight)
                elif holder == GIVEN_UP:
                    problem = "Workers died of this question; try again in a minute."
                    self._land(flight, ComputationFailed(problem))
                elif holder == SETTLED:
                    settled.append(flight)
                elif not is_job_id(holder):
                    mine.append(flight)  # nobody of ours holds it
                else:
                    self._batches.landed(flight.job_id)
                    flight.job_id = holder.decode()
            if settled:  # written after the cache had been read for us
                await self._collect([flight.question for flight in settled], just_written=False)
                mine += [flight for flight in settled if flight.outcome is None]  # stale again
            if mine and holders.count(None) < len(holders):  # else they were queued with the claims
                await self._enqueue(batch.kind, mine, batch.job_id)
        except (RedisError, OSError) as error:
            log.warning("questions could not be queued", reason=str(error), questions=len(batch.flights))
            for flight in batch.flights:
                self._land(flight, QueueUnreachable.because(error))
        except Exception:
            log.exception("questions could not be queued", questions=len(batch.flights))
            for flight in batch.flights:
                self._land(flight, ComputationFailed("This could not be asked; the gateway's log says why."))
        finally:
            batch.queued.set()

    async def _claim_and_queue(self, batch: Batch) -> list[bytes | None]:
        """Return who holds the claim of each flight, None for us; if all are ours, they are queued."""
        commands = self._commands(batch.kind, batch.flights, batch.job_id)
        names, arguments = claim_arguments(
            (flight.question for flight in batch.flights), batch.job_id, commands
        )
        holders: list[bytes | None] = await self._claim(keys=names, args=arguments)
        return holders

    async def _enqueue(self, kind: Kind, flights: list[Flight], job_id: str) -> None:
        async with self._queue.pipeline(transaction=True) as pipeline:
            take_claims(pipeline, (flight.question for flight in flights), job_id)
            for words in self._commands(kind, flights, job_id):
                pipeline.execute_command(*words)
            await pipeline.execute()

    def _commands(self, kind: Kind, flights: list[Flight], job_id: str) -> list[tuple[Any, ...]]:
        return ranking_commands(
            self._jobs,
            RULES[kind].job,
            [flight.question.subject for flight in flights],
            job_id=job_id,
            deadline=self._fleet.clock.now() + 2 * self._wait_budget,
            changes=[flight.changes for flight in flights],
        )

    async def _listen(self) -> None:
        """Hear the news, on one connection after the other."""
        while True:
            try:
                async with self._queue.pubsub() as pubsub:
                    await pubsub.subscribe(keys.ANSWERS_CHANNEL, keys.WORKERS_CHANNEL)
                    await self._hear(pubsub)
            except (RedisError, OSError) as error:
                log.warning("no news from the workers", reason=str(error))
            await asyncio.sleep(_RECONNECT_DELAY_SECONDS)

    async def _hear(self, pubsub: redis.asyncio.client.PubSub) -> None:
        last_heard = time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=_SILENCE_SECONDS)
            now = time.monotonic()
            if message is None:
                if now - last_heard > 2 * _SILENCE_SECONDS:
                    raise redis.ConnectionError("the connection for news is silent")
                await pubsub.ping()
                continue
            last_heard = now
            if message["type"] == "subscribe" and message["channel"] == keys.ANSWERS_CHANNEL.encode():
                # Also when redis-py has renewed a lost connection, of which it says nothing else.
                await self._make_up()
            if message["type"] != "message":
                continue
            if message["channel"] == keys.WORKERS_CHANNEL.encode():
                self._spawn(self._fleet.look())
            elif (news := News.from_text(message["data"].decode(errors="replace"))) is not None:
                self._handle(news)

    async def _make_up(self) -> None:
        """Make up for the news that were missed before the channel was heard."""
        self._forget(None)
        self._listening.set()
        await self._collect(list(self._flights), just_written=False)

    def _handle(self, news: News) -> None:
        if news.event is RankingEvent.CHANGED:
            self._forget(news)
            return
        awaited = [question for question in news.questions if question in self._flights]
        if news.event is RankingEvent.WRITTEN:
            # Beside what else is heard: under load the few turns of a round trip are long, and one batch
            # after the other would be slower than the workers.
            self._spawn(self._fetch(awaited))
            return
        for question in awaited:
            unknown = news.event is RankingEvent.UNKNOWN
            self._land(
                self._flights[question],
                UnknownUser(question.subject)
                if unknown
                else ComputationFailed("A worker could not compute this; its log says why."),
            )

    async def _fetch(self, questions: list[Question]) -> None:
        try:
            await self._collect(questions, just_written=True)
        except (RedisError, OSError) as error:  # they will be found to be lost, and looked for again
            log.warning("answers could not be read", reason=str(error), questions=len(questions))
        except Exception:
            log.exception("answers could not be read", questions=len(questions))

    async def _collect(self, questions: list[Question], *, just_written: bool) -> None:
        """Hand out what the cache has by now; what was not written just now may be the stale one."""
        for start in range(0, len(questions), BATCH_LIMIT):
            part = questions[start : start + BATCH_LIMIT]
            outdated: dict[Kind, list[Flight]] = {}
            answered = 0
            for question, cached in zip(part, await self._cache.read_many(part), strict=True):
                flight = self._flights.get(question)
                if flight is None or cached.ranking is None:
                    continue
                if cached.ranking.changes != cached.changes:
                    if just_written:  # ratings changed while it was computed
                        flight.changes = cached.changes
                        outdated.setdefault(question.kind, []).append(flight)
                elif just_written or cached.is_fresh(self._fleet.versions, flight.fingerprint):
                    self._newest_landed = max(self._newest_landed, flight.sent)
                    self._land(flight, cached.ranking)
                    answered += 1
            if answered:
                self._last_landing = time.monotonic()
                self._admission.delivered(answered, len(self._flights))
            for kind, flights in outdated.items():
                await self._ask_again(kind, flights)

    def _land(self, flight: Flight, outcome: Ranking | Problem) -> None:
        """Give all who wait for a flight the answer."""
        if self._flights.get(flight.question) is flight:
            del self._flights[flight.question]
        self._batches.landed(flight.job_id)
        flight.land(outcome)

    async def _look_for_lost(self) -> None:
        """Ask again what a dead worker took along, and forget what nobody waits for any more."""
        lost: dict[Kind, list[Flight]] = {}
        for flight in list(self._flights.values()):
            if time.monotonic() - flight.started > 2 * self._wait_budget + LOST_AFTER.total_seconds():
                self._land(flight, ComputationFailed("No worker answered in time."))
            elif self._is_lost(flight):
                lost.setdefault(flight.question.kind, []).append(flight)
        for kind, missed in lost.items():
            # The news may have come while the connection was being renewed.
            await self._collect([flight.question for flight in missed], just_written=False)
            flights = [flight for flight in missed if flight.outcome is None]
            again = [flight for flight in flights if flight.tries < _MOST_TRIES]
            await self._give_up(kind, [flight for flight in flights if flight.tries >= _MOST_TRIES])
            if again:
                log.warning("asking again", kind=kind.value, questions=len(again))
                # Each alone: if one of them kills whoever computes it, it shall not take the others along.
                for flight in again:
                    await self._ask_again(kind, [flight])

    def _is_lost(self, flight: Flight) -> bool:
        now = time.monotonic()
        if now - flight.sent < LOST_AFTER.total_seconds():
            return False
        overtaken = self._newest_landed > flight.sent + _OVERTAKEN_SECONDS
        idle = self._fleet.waiting_jobs == 0 and now - self._last_landing > _OVERTAKEN_SECONDS
        return overtaken or idle

    async def _ask_again(self, kind: Kind, flights: list[Flight]) -> None:
        job_id = uuid.uuid4().hex
        for flight in flights:
            flight.tries += 1
            flight.sent = time.monotonic()
        await self._enqueue(kind, flights, job_id)

    async def _give_up(self, kind: Kind, flights: list[Flight]) -> None:
        """Stop asking what has been lost with each worker that took it."""
        if not flights:
            return
        for flight in flights:
            log.error("given up", kind=kind.value, id=flight.question.subject, tries=flight.tries)
            self._land(flight, ComputationFailed("Each worker that tried this died; its log says why."))
        async with self._queue.pipeline(transaction=False) as pipeline:
            give_up_claims(pipeline, (flight.question for flight in flights))
            await pipeline.execute()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
