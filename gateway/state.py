"""What the routes of one gateway process share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import redis
import structlog
from fastapi import Request
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from gateway.catalogue import Catalogue
from gateway.dispatch import Dispatcher
from gateway.fleet import Fleet
from shared.artifacts import ArtifactStore
from shared.broker import connect, connect_async
from shared.database import queries
from shared.database.engine import open_database
from shared.errors import ArtifactError
from shared.settings import GatewaySettings

log = structlog.get_logger(__name__)

_IMPORT_CHECK_SECONDS = 1.0


@dataclass
class State:
    """Connections and memory of a gateway.

    Attributes
    ----------
    engine : Engine
        The database; its calls block, so routes that ask it are not asynchronous.
    jobs : redis.Redis
        The queue, for RQ.
    store : ArtifactStore
        The model versions.
    fleet : Fleet
        The workers.
    dispatcher : Dispatcher
        The way to them.
    catalogue : Catalogue
        The movies, replaced as a whole after an import.
    """

    engine: Engine
    jobs: redis.Redis
    store: ArtifactStore
    fleet: Fleet
    dispatcher: Dispatcher
    catalogue: Catalogue = field(default_factory=Catalogue.empty)

    async def watch_imports(self) -> None:
        """Take over the movies of a new import within a second or so."""
        while True:
            await asyncio.sleep(_IMPORT_CHECK_SECONDS)
            try:
                if await asyncio.to_thread(self._revision) != self.catalogue.revision:
                    self.catalogue = await asyncio.to_thread(Catalogue.load, self.engine)
                    log.info("catalogue loaded", revision=self.catalogue.revision, movies=len(self.catalogue))
            except DBAPIError as error:
                log.warning("the database does not answer", reason=str(error.orig))

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
    queue, cache, jobs = connect_async(settings.queue), connect_async(settings.cache), connect(settings.queue)
    store = ArtifactStore(settings.models)
    fleet = Fleet(queue, settings.queue_cap, current_version(store))
    state = State(
        engine=engine,
        jobs=jobs,
        store=store,
        fleet=fleet,
        dispatcher=Dispatcher(cache, queue, jobs, fleet, settings.wait_budget),
        catalogue=await asyncio.to_thread(Catalogue.load, engine),
    )
    await fleet.start()
    await state.dispatcher.start()
    watch = asyncio.create_task(state.watch_imports(), name="imports")
    try:
        yield state
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await state.dispatcher.stop()
        await fleet.stop()
        await queue.aclose()
        await cache.aclose()
        jobs.close()
        engine.dispose()


def state_of(request: Request) -> State:
    """Return the state of the gateway that a request came to; for ``Depends``."""
    state: State = request.app.state.gateway
    return state
