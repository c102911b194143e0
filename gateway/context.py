"""Connections and caches of a gateway process, which all of its requests share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import redis
import structlog
from fastapi import Request
from sqlalchemy import Connection, Engine

from gateway import background_tasks
from gateway.catalogue.movies import Catalogue
from gateway.http import urls
from gateway.http.access_log import RequestCounts
from gateway.http.path_prefix import Prefix
from gateway.http.problems import DatabaseUnavailable
from gateway.load.admission import Admission
from gateway.load.shedding import LoadShedder
from gateway.load.workers import Workers
from gateway.rankings.answer_cache import AnswerCache
from gateway.rankings.cache import RankingCache
from gateway.rankings.dispatcher import Dispatcher
from gateway.rankings.kinds import ANSWERS
from gateway.rankings.popularity import Popularity
from shared.artifacts.store import ArtifactStore
from shared.contract.news import News
from shared.contract.question import Question
from shared.database.engine import open_database
from shared.database.files import Probe, probe
from shared.errors import ArtifactError
from shared.queue.connections import connect, connect_async
from shared.settings import GatewaySettings

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CHECK_SECONDS = 0.5
_FLUSH_SECONDS = 5.0
_MOST_TRIES = 3
_REDIS_SECONDS = 1.5
"""Within which Redis answers or counts as away: twice that has to fit well into every wait budget."""


@dataclass
class GatewayContext:
    """Connections and caches of a gateway.

    Attributes
    ----------
    engine : Engine
        The database; its calls block, so they are made in threads.
    jobs : redis.Redis
        The queue, for RQ.
    store : ArtifactStore
        The model versions.
    answer_cache : AnswerCache
        Answers that can be sent at once.
    workers : Workers
        Which workers are alive.
    admission : Admission
        Refuses what would not be done in time.
    dispatcher : Dispatcher
        Asks the workers.
    popularity : Popularity
        What is asked most.
    load_shedder : LoadShedder
        Rejects questions early when overloaded.
    prefix : Prefix
        Where clients see the service.
    supervisor : Supervisor
        Runs the background tasks.
    request_counts : RequestCounts
        Counts the usual answers.
    catalogue : Catalogue
        The movies, replaced as a whole after an import.
    """

    engine: Engine
    jobs: redis.Redis
    store: ArtifactStore
    answer_cache: AnswerCache
    workers: Workers
    admission: Admission
    dispatcher: Dispatcher
    popularity: Popularity
    load_shedder: LoadShedder
    prefix: Prefix
    supervisor: background_tasks.Supervisor
    request_counts: RequestCounts = field(default_factory=RequestCounts)
    catalogue: Catalogue = field(default_factory=Catalogue.empty)
    _catching_up: asyncio.Lock = field(default_factory=asyncio.Lock)
    _file: tuple[int, int] | None = None

    async def require_subject(self, question: Question) -> None:
        """Refuse a question about a user who has rated nothing, or a movie that does not exist.

        The database is asked only for users who are new.

        Raises
        ------
        UnknownUser, UnknownMovie
        """
        about, subject = ANSWERS[question.kind].about, question.subject
        if about.is_listed(self.catalogue, subject):
            return
        if about.look_up is None or not await asyncio.to_thread(self._look_up, about.look_up, subject):
            raise about.unknown(subject)

    def _look_up(self, exists: Callable[[Connection, int], bool], subject: int) -> bool:
        with self.engine.connect() as connection:
            return exists(connection, subject)

    def watch(self) -> None:
        """Start the background tasks, one for each thing, so that none of them stops another."""
        supervisor = self.supervisor
        supervisor.keep("overload", self.load_shedder.watch)
        supervisor.every(_CHECK_SECONDS, "imports", self.catch_up)
        supervisor.every(_CHECK_SECONDS, "warming", self._warm, essential=False)
        supervisor.every(_FLUSH_SECONDS, "popularity", self.popularity.flush, essential=False)
        supervisor.every(_FLUSH_SECONDS, "report", self._report, essential=False)

    async def catch_up(self) -> None:
        """Load what was imported since, or a database that was put in the place of the old one.

        Of several calls at once, one does it.
        """
        async with self._catching_up:
            found = await asyncio.to_thread(probe, self.engine)
            if found == Probe(self.catalogue.fingerprint, self._file):
                return
            catalogue = await asyncio.to_thread(Catalogue.load, self.engine)
            # In one turn of the event loop: no request sees the one without the other.
            self.catalogue, self._file = catalogue, found.file
            self.answer_cache.clear()
            log.info("catalogue loaded", data=catalogue.fingerprint, movies=len(catalogue))

    async def of_one_data_set(self, read: Callable[[Catalogue], Awaitable[T | None]]) -> T:
        """Return an answer all of whose parts are of the same data.

        Parameters
        ----------
        read : callable
            Makes an answer with a catalogue, and returns None if the rest of it is of other data, because an
            import came between; it is then tried again with the new catalogue.

        Raises
        ------
        DatabaseUnavailable
            If the data change again and again.
        """
        for _ in range(_MOST_TRIES):
            found = await read(self.catalogue)
            if found is not None:
                return found
            await self.catch_up()
        raise DatabaseUnavailable("The data are being replaced; try again soon.")

    async def _warm(self) -> None:
        await self.popularity.warm(self.catalogue.fingerprint)

    async def _report(self) -> None:
        from_memory, self.answer_cache.answered = self.answer_cache.answered, 0
        self.request_counts.report(from_memory, len(self.answer_cache))
        shed, self.load_shedder.shed = self.load_shedder.shed, 0
        if shed:
            log.warning("more is asked than can be answered", shed=shed)


def current_version(store: ArtifactStore) -> str | None:
    """Return the version that is to be served, None if there is none or the pointer is damaged."""
    try:
        return store.current_version()
    except ArtifactError:
        return None


def _forget(answer_cache: AnswerCache, news: News | None) -> None:
    """Drop the answers that news make untrue, all of them if anything may have changed."""
    if news is None:
        answer_cache.clear()
        return
    for subject in news.ids:
        answer_cache.forget(urls.all_about(Question(news.kind, subject)), subject)


@asynccontextmanager
async def open_context(settings: GatewaySettings) -> AsyncIterator[GatewayContext]:
    """Connect a gateway, and disconnect it at the end."""
    engine = await asyncio.to_thread(open_database, settings.database)
    queue, cache = (connect_async(url, _REDIS_SECONDS) for url in (settings.queue, settings.cache))
    jobs = connect(settings.queue, _REDIS_SECONDS)
    store = ArtifactStore(settings.models)
    answer_cache = AnswerCache(settings.local_cache_mb * 2**20, settings.local_cache_ttl)

    def require_subject(question: Question) -> Awaitable[None]:
        return context.require_subject(question)

    forget = partial(_forget, answer_cache)
    own_cache = cache if settings.cache != settings.queue else None
    workers = Workers(queue, current_version(store), answer_cache.clear, own_cache)
    admission = Admission(workers, settings.queue_cap)
    dispatcher = Dispatcher(
        RankingCache(cache), queue, jobs, workers, admission, require_subject, forget, settings.wait_budget
    )
    supervisor = background_tasks.Supervisor()
    context = GatewayContext(
        engine=engine,
        jobs=jobs,
        store=store,
        answer_cache=answer_cache,
        workers=workers,
        admission=admission,
        dispatcher=dispatcher,
        popularity=Popularity(queue, jobs, workers, answer_cache),
        load_shedder=LoadShedder(admission, dispatcher.pending),
        prefix=Prefix.of_settings(settings),
        supervisor=supervisor,
    )
    try:
        await context.catch_up()
        await workers.start(supervisor)
        await dispatcher.start(supervisor)
        context.watch()
        yield context
    finally:
        await supervisor.stop()
        await dispatcher.stop()
        await queue.aclose()
        await cache.aclose()
        jobs.close()
        engine.dispose()


async def context_of(request: Request) -> GatewayContext:
    """Return the context of a request's gateway; for ``Depends``, which runs plain functions in threads."""
    context: GatewayContext = request.app.state.gateway
    return context
