"""Moves whole tables in and out through Arrow, without a Python object for each of 20 million ratings."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import BigInteger, Engine, Integer, SmallInteger, Table, Text
from sqlalchemy.types import REAL

from shared.database import queries
from shared.database.engine import BUSY_TIMEOUT_MS, sqlite_path
from shared.database.files import require_file
from shared.database.queries import Import
from shared.database.schema import imports, movies, ratings, tags
from shared.datasets.model import Dataset
from shared.errors import DataError, ServiceError
from shared.progress import Progress, Step, silent

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection, Cursor

CHUNK_ROWS = 500_000
"""Ratings sent at a time, so that progress can be told."""

_MOST_READERS = 4


def replace_dataset(
    engine: Engine, dataset: Dataset, fingerprint: str, progress: Progress = silent
) -> Import:
    """Make a data set the contents of the database, in one transaction.

    Readers see the old contents meanwhile; a crash at any point leaves them.

    Parameters
    ----------
    engine : Engine
        From :func:`shared.database.engine.open_database`.
    dataset : Dataset
        To be stored.
    fingerprint : str
        Of its files, to recognise them later.

    Raises
    ------
    ServiceError
        If the database refuses.
    """
    with engine.connect() as connection:
        before = queries.current_import(connection)
    new = Import(
        import_id=(before.import_id if before else 0) + 1,
        name=dataset.name,
        fingerprint=fingerprint,
        n_users=int(dataset.ratings["user_id"].nunique()),
        n_movies=len(dataset.movies),
        n_ratings=len(dataset.ratings),
        n_tags=len(dataset.tags),
    )
    with _bulk_connection(engine) as bulk, bulk.cursor() as cursor:
        empty = "DELETE FROM" if engine.dialect.name == "sqlite" else "TRUNCATE"
        for table in (ratings, tags, movies):
            cursor.execute(f"{empty} {table.name}")
        _ingest(cursor, movies, _arrow(dataset.movies))
        _ingest(cursor, tags, _arrow(dataset.tags))
        for start in range(0, new.n_ratings, CHUNK_ROWS):
            chunk = dataset.ratings.iloc[start : start + CHUNK_ROWS]
            _ingest(cursor, ratings, _arrow(chunk))
            progress(Step("storing ratings", min(start + CHUNK_ROWS, new.n_ratings), new.n_ratings, "rating"))
        row = vars(new) | {"imported_at": int(time.time())}
        _ingest(cursor, imports, pa.Table.from_pylist([row]))
        bulk.commit()
    return new


def read_dataset(engine: Engine) -> tuple[Import, Dataset]:
    """Read everything, as of one moment.

    Ratings are read by several connections at once, each a range of users, since turning rows into columns
    keeps a core busy. If an import comes between them, all is read again.

    Returns
    -------
    Import
        What it is.
    Dataset
        In the documented order and types.

    Raises
    ------
    DataError
        If nothing was imported yet.
    """
    while True:
        with _snapshot(engine) as (current, connection):
            movie_table = _read(connection, f"SELECT * FROM {movies.name} ORDER BY movie_id")
            tag_table = _read(connection, f"SELECT * FROM {tags.name} ORDER BY user_id, movie_id, timestamp")
            (last,) = _read(connection, f"SELECT MAX(user_id) AS id FROM {ratings.name}").to_pylist()
        n_readers = min(os.cpu_count() or 1, _MOST_READERS)
        bounds = [(last["id"] or 0) * reader // n_readers for reader in range(n_readers + 1)]
        with ThreadPoolExecutor(n_readers) as pool:
            parts = list(pool.map(partial(_read_ratings, engine), bounds[:-1], bounds[1:]))
        if all(imported == current for imported, _ in parts):
            break
    ids = {"user_id": "int32", "movie_id": "int32"}
    return current, Dataset(
        name=current.name,
        movies=movie_table.to_pandas().astype(
            {"movie_id": "int32", "year": "Int16", "imdb_id": "Int64", "tmdb_id": "Int64"}
        ),
        ratings=pd.concat([frame for _, frame in parts], ignore_index=True),
        tags=tag_table.to_pandas().astype(ids | {"timestamp": "int64"}),
    )


def _read_ratings(engine: Engine, after: int, until: int) -> tuple[Import, pd.DataFrame]:
    """Read the ratings of users ``after < user_id <= until``, and say of which import they are."""
    query = f"SELECT * FROM {ratings.name} WHERE user_id > {after} AND user_id <= {until}"
    types = {"user_id": "int32", "movie_id": "int32", "rating": "float32", "timestamp": "int64"}
    with _snapshot(engine) as (current, connection):
        return current, _columns(_read(connection, f"{query} ORDER BY user_id, movie_id"), types)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[tuple[Import, Connection]]:
    """Open a connection that sees the contents of one moment, and say what they are."""
    with _bulk_connection(engine) as connection:
        if engine.dialect.name == "postgresql":  # SQLite reads as of the first query anyway
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = _read(connection, f"SELECT * FROM {imports.name} ORDER BY import_id DESC LIMIT 1").to_pylist()
        if not found:
            raise DataError("The database is empty; import ratings first: movierec data import DIR.")
        yield Import(**{name: found[0][name] for name in Import.__dataclass_fields__}), connection


def _columns(table: pa.Table, types: dict[str, str]) -> pd.DataFrame:
    """Convert numeric columns one by one and free each, so that the peak is one column above the result."""
    converted = {}
    for name, dtype in types.items():
        converted[name] = table.column(name).to_numpy().astype(dtype, copy=False)
        table = table.drop_columns([name])
    return pd.DataFrame(converted, copy=False)


_ARROW_TYPES = {
    SmallInteger: pa.int16(),
    Integer: pa.int32(),
    BigInteger: pa.int64(),
    REAL: pa.float32(),
    Text: pa.string(),
}


def _ingest(cursor: Cursor, table: Table, rows: pa.Table) -> None:
    """Append rows; PostgreSQL's binary COPY wants the very types of the columns."""
    schema = pa.schema([(column.name, _ARROW_TYPES[type(column.type)]) for column in table.columns])
    cursor.adbc_ingest(table.name, rows.select(schema.names).cast(schema), mode="append")


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def _read(connection: Connection, query: str) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table()


@contextmanager
def _bulk_connection(engine: Engine) -> Iterator[Connection]:
    """Open an Arrow connection in a transaction of its own, rolled back unless committed."""
    from adbc_driver_manager import Error

    url = engine.url
    try:
        if engine.dialect.name == "sqlite":
            from adbc_driver_sqlite import dbapi as sqlite

            # The driver has a SQLite of its own, and two in one process do not see each other's locks: the
            # last to close here would remove the write-ahead log that the other still writes to
            # (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
            engine.dispose()
            require_file(engine)
            opened: Any = sqlite.connect(str(sqlite_path(url)))
        else:
            from adbc_driver_postgresql import dbapi as postgresql

            opened = postgresql.connect(
                url.set(drivername="postgresql").render_as_string(hide_password=False)
            )
        with closing(opened) as connection:
            if engine.dialect.name == "sqlite":
                with connection.cursor() as cursor:
                    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            yield connection
    except (Error, sqlite3.OperationalError) as error:
        raise ServiceError(f"The database refused: {error}") from error
