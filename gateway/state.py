"""What the routes of one gateway process share."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import redis
import structlog
from fastapi import Request
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import paths, tasks
from gateway.access_log import Tally
from gateway.catalogue import Catalogue
from gateway.dispatch import Dispatcher
from gateway.fleet import Fleet
from gateway.memory import AnswerMemory
from gateway.overload import Door
from gateway.popularity import Popularity
from gateway.prefix import Prefix
from gateway.ranking_cache import RankingCache
from shared.artifacts import ArtifactStore
from shared.broker import connect, connect_async
from shared.contract import Kind, News
from shared.database import queries
from shared.database.engine import open_database
from shared.errors import ArtifactError
from shared.settings import GatewaySettings

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 0.5
_FLUSH_SECONDS = 5.0
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
    tally: Tally = field(default_factory=Tally)
    catalogue: Catalogue = field(default_factory=Catalogue.empty)

    async def user_exists(self, user_id: int) -> bool:
        """Tell whether a user has rated anything; the database is asked only for one who is new."""
        return self.catalogue.has_user(user_id) or await asyncio.to_thread(self._look_up, user_id)

    def _look_up(self, user_id: int) -> bool:
        with self.engine.connect() as connection:
            return queries.user_exists(connection, user_id)

    async def keep_house(self) -> None:
        """Take over a new import within a second, count what is asked, have it warmed after a change."""
        flushed = time.monotonic()
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                await self._watch_imports()
                await self.popularity.warm(self.catalogue.revision)
                if time.monotonic() - flushed > _FLUSH_SECONDS:
                    flushed = time.monotonic()
                    remembered, self.memory.answered = self.memory.answered, 0
                    self.tally.report(remembered, len(self.memory))
                    turned_away, self.door.turned_away = self.door.turned_away, 0
                    if turned_away:
                        log.warning("more is asked than can be answered", turned_away=turned_away)
                    await self.popularity.flush()
            except SQLAlchemyError as error:
                log.warning("the database does not answer", reason=str(getattr(error, "orig", error)))
            except (RedisError, OSError) as error:
                log.warning("what is asked most cannot be counted", reason=str(error))
            except Exception:
                log.exception("housekeeping failed")

    async def _watch_imports(self) -> None:
        if await asyncio.to_thread(self._revision) != self.catalogue.revision:
            self.catalogue = await asyncio.to_thread(Catalogue.load, self.engine)
            self.memory.clear()
            log.info("catalogue loaded", revision=self.catalogue.revision, movies=len(self.catalogue))

    def _revision(self) -> int:
        with self.engine.connect() as connection:
            return queries.data_revision(connection)


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
            stale = [paths.ranking(news.kind, entity_id)]
            if news.kind is Kind.SUGGESTED:
                stale.append(paths.rated(entity_id))
            memory.forget(stale, entity_id)

    async def user_exists(user_id: int) -> bool:
        return await state.user_exists(user_id)

    fleet = Fleet(queue, settings.queue_cap, current_version(store), memory.clear)
    dispatcher = Dispatcher(
        RankingCache(cache), queue, jobs, fleet, user_exists, forget, settings.wait_budget
    )
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
        catalogue=await asyncio.to_thread(Catalogue.load, engine),
    )
    await fleet.start()
    await state.dispatcher.start()
    own = [asyncio.create_task(state.keep_house()), asyncio.create_task(state.door.watch())]
    try:
        yield state
    finally:
        await tasks.end(own)
        await state.dispatcher.stop()
        await fleet.stop()
        await queue.aclose()
        await cache.aclose()
        jobs.close()
        engine.dispose()


async def state_of(request: Request) -> State:
    """Return the state of a request's gateway; for ``Depends``, which runs plain functions in threads."""
    state: State = request.app.state.gateway
    return state
