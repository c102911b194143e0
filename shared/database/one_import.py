"""Lets one import at a time into a database."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from shared.database.engine import sqlite_path
from shared.errors import ServiceError
from shared.processes.locks import ProcessLock
from shared.progress import Progress, Step

_KEYS = {"space": 0x6D6F7669, "lock": 0x696D706F}
"""Of PostgreSQL's advisory lock: ``movi``, ``impo``."""

_POLL_SECONDS = 0.2

_TRY = text("SELECT pg_try_advisory_lock(:space, :lock)")

_HOLDER = text("""
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = :space AND objid = :lock AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


@contextmanager
def one_import(engine: Engine, progress: Progress) -> Iterator[None]:
    """Keep other imports waiting for as long as this one takes; wait for one that came first.

    Parameters
    ----------
    engine : Engine
        The database. For SQLite a file beside it is locked, PostgreSQL has locks for such uses; both end with
        the process.
    progress : callable
        Told who is waited for.

    Raises
    ------
    ServiceError
        If it cannot be locked.
    """

    def waiting(holder: str) -> None:
        progress(Step(f"waiting for another import ({holder})", 0))

    if engine.dialect.name == "sqlite":
        path = sqlite_path(engine.url).resolve()
        lock = ProcessLock(
            path.with_name(f"{path.name}.import.lock"), "Another import is under way", "Wait for it."
        )
        with lock.held(waiting):
            yield
        return
    with _session(engine) as session:
        _name(session)
        while not session.scalar(_TRY, _KEYS):
            waiting(session.scalar(_HOLDER, _KEYS) or "another process")
            time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def _session(engine: Engine) -> Iterator[Connection]:
    """Open a connection that is closed at the end, instead of kept: its locks end with it."""
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()
        with connection:
            yield connection
    except DBAPIError as error:
        raise ServiceError(f"The database refused: {error.orig}") from error


def _name(session: Connection) -> None:
    """Say in the session's name who we are, for those who wait."""
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    name = f"pid {os.getpid()} on {socket.gethostname()[:20]}, since {since} UTC"
    session.execute(text("SELECT set_config('application_name', :name, false)"), {"name": name})
