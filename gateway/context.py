"""What the routes of one gateway process share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import redis
import structlog
from fastapi import Request
from sqlalchemy import Engine

from gateway import background_tasks
from gateway.catalogue.movies import Catalogue
from gateway.http import urls
from gateway.http.access_log import Tally
from gateway.http.path_prefix import Prefix
from gateway.http.problems import DatabaseUnavailable
from gateway.load.shedding import Door
from gateway.load.workers import Fleet
from gateway.rankings.answer_cache import AnswerMemory
from gateway.rankings.cache import RankingCache
from gateway.rankings.dispatcher import Dispatcher
from gateway.rankings.popularity import Popularity
from shared.artifacts.store import ArtifactStore
from shared.contract.kinds import Kind
from shared.contract.news import News
from shared.database import queries
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
class State:
    """Connections and memory of a gateway.

    Attributes
    ----------
    engine : Engine
        The database; its calls block, so they are made in threads.
    jobs : redis.Redis
        The queue, for RQ.
    store : ArtifactStore
        The model versions.
    memory : AnswerMemory
        Answers that can be sent at once.
    fleet : Fleet
        The workers.
    dispatcher : Dispatcher
        The way to them.
    popularity : Popularity
        What is asked most.
    door : Door
        Turns away what is too much.
    prefix : Prefix
        Where clients see the service.
    supervisor : Supervisor
        Runs the background tasks.
    tally : Tally
        Counts the usual answers.
    catalogue : Catalogue
        The movies, replaced as a whole after an import.
    """

    engine: Engine
    jobs: redis.Redis
    store: ArtifactStore
    memory: AnswerMemory
    fleet: Fleet
    dispatcher: Dispatcher
    popularity: Popularity
    door: Door
    prefix: Prefix
    supervisor: background_tasks.Supervisor
    tally: Tally = field(default_factory=Tally)
    catalogue: Catalogue = field(default_factory=Catalogue.empty)
    _catching_up: asyncio.Lock = field(default_factory=asyncio.Lock)
    _file: tuple[int, int] | None = None

    async def user_exists(self, user_id: int) -> bool:
        """Tell whether a user has rated anything; the database is asked only for one who is new."""
        return self.catalogue.has_user(user_id) or await asyncio.to_thread(self._look_up, user_id)

    def _look_up(self, user_id: int) -> bool:
        with self.engine.connect() as connection:
            return queries.user_exists(connection, user_id)

    def watch(self) -> None:
        """Have this process look after itself for as long as it lives, each thing apart from the others."""
        supervisor = self.supervisor
        supervisor.keep("overload", self.door.watch)
        supervisor.every(_CHECK_SECONDS, "imports", self.catch_up)
        supervisor.every(_CHECK_SECONDS, "warming", self._warm, essential=False)
        supervisor.every(_FLUSH_SECONDS, "popularity", self.popularity.flush, essential=False)
        supervisor.every(_FLUSH_SECONDS, "report", self._report, essential=False)

    async def catch_up(self) -> None:
        """Take over what was imported since, or a database that was put in the place of the old one.

        Of several who ask for that at once, one does it.
        """
        async with self._catching_up:
            found = await asyncio.to_thread(probe, self.engine)
            if found == Probe(self.catalogue.fingerprint, self._file):
                return
            catalogue = await asyncio.to_thread(Catalogue.load, self.engine)
            # In one turn of the event loop: nobody sees the one without the other.
            self.catalogue, self._file = catalogue, found.file
            self.memory.clear()
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
        remembered, self.memory.answered = self.memory.answered, 0
        self.tally.report(remembered, len(self.memory))
        turned_away, self.door.turned_away = self.door.turned_away, 0
        if turned_away:
            log.warning("more is asked than can be answered", turned_away=turned_away)


def current_version(store: ArtifactStore) -> str | None:
    """Return the version that is to be served, None if there is none or the pointer is damaged."""
    try:
        return store.current_version()
    except ArtifactError:
        return None


@asynccontextmanager
async def open_state(settings: GatewaySettings) -> AsyncIterator[State]:
    """Connect a gateway, and disconnect it at the end."""
    engine = await asyncio.to_thread(open_database, settings.database)
    queue, cache = (connect_async(url, _REDIS_SECONDS) for url in (settings.queue, settings.cache))
    jobs = connect(settings.queue, _REDIS_SECONDS)
    store = ArtifactStore(settings.models)
    memory = AnswerMemory(settings.local_cache_mb * 2**20, settings.local_cache_ttl)

    def forget(news: News | None) -> None:
        if news is None:
            memory.clear()
            return
        for entity_id in news.ids:
            stale = [urls.ranking(news.kind, entity_id)]
            if news.kind is Kind.SUGGESTED:
                stale.append(urls.rated(entity_id))
            memory.forget(stale, entity_id)

    async def user_exists(user_id: int) -> bool:
        return await state.user_exists(user_id)

    own_cache = cache if settings.cache != settings.queue else None
    fleet = Fleet(queue, settings.queue_cap, current_version(store), memory.clear, own_cache)
    dispatcher = Dispatcher(
        RankingCache(cache), queue, jobs, fleet, user_exists, forget, settings.wait_budget
    )
    supervisor = background_tasks.Supervisor()
    state = State(
        engine=engine,
        jobs=jobs,
        store=store,
        memory=memory,
        fleet=fleet,
        dispatcher=dispatcher,
        popularity=Popularity(queue, jobs, fleet, memory),
        door=Door(dispatcher),
        prefix=Prefix.of_settings(settings),
        supervisor=supervisor,
    )
    try:
        await state.catch_up()
        await fleet.start(supervisor)
        await dispatcher.start(supervisor)
        state.watch()
        yield state
    finally:
        await supervisor.stop()
        await dispatcher.stop()
        await queue.aclose()
        await cache.aclose()
        jobs.close()
        engine.dispose()


async def state_of(request: Request) -> State:
    """Return the state of a request's gateway; for ``Depends``, which runs plain functions in threads."""
    state: State = request.app.state.gateway
    return state
