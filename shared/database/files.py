"""Notices when SQLite's file is replaced, deleted or damaged while it is open.

A connection goes on with the file that it opened and with the pages that it has read, whatever becomes of the
name or the bytes on the disk. So connections in a pool are renewed once the file has changed, a file that is
gone is not made anew, and :func:`probe` reads with a connection of its own.
"""

import random
import sqlite3
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection

from shared.contract.kinds import MIN_ID
from shared.database import queries
from shared.database.schema import movies, ratings, tags

_SEEN = "movierec: the file as it was"


class Probe(NamedTuple):
    """What a look at the database found.

    Attributes
    ----------
    fingerprint : str
        Of the data, see :func:`shared.database.queries.data_fingerprint`.
    file : tuple of int or None
        Device and number of SQLite's file, which are others after it was replaced.
    """

    fingerprint: str
    file: tuple[int, int] | None


def follow_file(engine: Engine) -> None:
    """Renew connections to SQLite once its file has changed, and never make a file that is gone."""
    path = _path_of(engine)

    def compare(
        connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        try:
            found = path.stat()
            seen = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        except OSError:
            seen = None
        if record.info.setdefault(_SEEN, seen) != seen:
            raise DisconnectionError("the database file has changed")  # the pool then makes another one

    event.listen(engine, "do_connect", partial(_require_file, path))
    event.listen(engine, "checkout", compare)


def probe(engine: Engine) -> Probe:
    """Read a little of everything from the disk.

    Of the ratings it is another part each time, so that damage is found sooner or later wherever it is.

    Parameters
    ----------
    engine : Engine
        From :func:`shared.database.engine.open_database`.

    Raises
    ------
    DBAPIError
        If the database does not answer, or its file is gone or damaged.
    """
    if engine.dialect.name != "sqlite":
        with engine.connect() as connection:
            return Probe(_read(connection), None)
    path = _path_of(engine)
    with _unpooled(engine.url).connect() as connection:
        found = path.stat()
        return Probe(_read(connection), (found.st_dev, found.st_ino))


def require_file(engine: Engine) -> None:
    """Refuse to go on without SQLite's file.

    Raises
    ------
    sqlite3.OperationalError
        If it is gone.
    """
    if engine.dialect.name == "sqlite":
        _require_file(_path_of(engine))


@cache
def _unpooled(url: URL) -> Engine:
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine, "do_connect", partial(_require_file, _path_of(engine)))
    return engine


def _read(connection: Connection) -> str:
    fingerprint = queries.data_fingerprint(connection)
    for column in (movies.c.movie_id, tags.c.user_id):
        connection.execute(select(func.max(column))).scalar()
    last = connection.execute(select(func.max(ratings.c.user_id))).scalar()
    if last is not None:
        somebody = random.randint(MIN_ID, last)
        connection.execute(select(ratings).where(ratings.c.user_id >= somebody).limit(1)).all()
    return fingerprint


def _path_of(engine: Engine) -> Path:
    return Path(engine.url.database or "")


def _require_file(path: Path, *connecting: Any) -> None:
    if not path.exists():
        raise sqlite3.OperationalError("the database file is gone")
