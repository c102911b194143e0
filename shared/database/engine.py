"""Opens the database."""

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from shared.database.files import follow_file
from shared.database.schema import metadata
from shared.errors import ConfigurationError, ServiceError

BUSY_TIMEOUT_MS = 60_000
"""How long SQLite waits for another process's lock: longer than any of our writes but an import's commit."""

_SQLITE_OPTIONS = {"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"}

_MOST_CONNECTIONS = 50
"""Above those kept open; more than a gateway has threads, so that none waits for a connection."""


def database_url(text: str) -> URL:
    """Check a database's URL and choose its driver.

    Raises
    ------
    ConfigurationError
        If it is not one of SQLite or PostgreSQL.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # no URL at all; a port that is no number
        raise ConfigurationError(
            "DATABASE_URL is not a database URL; it looks like sqlite:///path or postgresql://user@host/name."
        ) from None
    backend = url.get_backend_name()
    if backend in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.host:
        raise ConfigurationError(
            "DATABASE_URL names a host, which SQLite has none of; it is sqlite:///relative/path or "
            "sqlite:////absolute/path, with three or four slashes."
        )
    if backend == "sqlite" and "?" in text and not set(url.query) & _SQLITE_OPTIONS:
        raise ConfigurationError(
            "DATABASE_URL has no option of SQLite after its '?'; a question mark in a path is written %3F."
        )
    if backend == "sqlite" and url.database:
        return url
    raise ConfigurationError(
        f"DATABASE_URL names {backend!r}; use sqlite:///path or postgresql://user@host/name."
    )


def open_database(text: str) -> Engine:
    """Connect, and make the tables where they are missing.

    A transaction reads as of one moment, that of its first query, in either database.

    Raises
    ------
    ServiceError
        If the database does not answer or cannot be written.
    """
    url = database_url(text)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        sqlite_path(url).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_pre_ping=not sqlite,
        max_overflow=_MOST_CONNECTIONS,
        # SQLite's transactions are snapshots anyway, once they are begun.
        **({} if sqlite else {"isolation_level": "REPEATABLE READ"}),
    )
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        metadata.create_all(engine)
    except DBAPIError as error:
        raise ServiceError(
            f"The database {url.render_as_string(hide_password=True)} cannot be used: {error.orig}"
        ) from error
    if sqlite:
        follow_file(engine)
    return engine


def sqlite_path(url: URL) -> Path:
    """Return the file of an SQLite database.

    It is absolute: SQLite itself would take a name that begins with ``file:`` for a URL.
    """
    return Path(url.database or "").absolute()


def _prepare_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    # Python's driver begins a transaction before a write only, so that each query would see another moment.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Readers never wait for the writer, and a crash loses no committed import.
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
