"""Reads the database as of one moment, and tells which of a model's movies are the same in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from shared.database import queries
from shared.genres import join_genres
from worker.serving.identity import identities, other_movies
from worker.serving.loaded_model import LoadedModel

log = structlog.get_logger(__name__)


class Snapshot(NamedTuple):
    """The data that one batch is computed from.

    Attributes
    ----------
    connection : Connection
        All that is read from it is as of the same moment; only open within :meth:`Snapshots.take`.
    fingerprint : str
        What tells the data in the database from all others.
    left_out : ndarray of bool, shape (n_movies,), or None
        Movies of the model that are other ones, or none, in the database; None for a model of its data.
    """

    connection: Connection
    fingerprint: str
    left_out: NDArray[np.bool_] | None


class Snapshots:
    """Reads the database for one batch at a time.

    Parameters
    ----------
    engine : Engine
        Database with the ratings.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._latest: tuple[tuple[str, str], NDArray[np.bool_]] | None = None

    def data_fingerprint(self) -> str:
        """Return what tells the data that are in the database now from all others."""
        with self._engine.connect() as connection:
            return queries.data_fingerprint(connection)

    @contextmanager
    def take(self, loaded: LoadedModel) -> Iterator[Snapshot]:
        """Begin to read; the connection is given back at the end, the rest may be used on."""
        with self._engine.connect() as connection:
            fingerprint = queries.data_fingerprint(connection)
            yield Snapshot(connection, fingerprint, self._left_out(loaded, fingerprint, connection))

    def _left_out(
        self, loaded: LoadedModel, fingerprint: str, connection: Connection
    ) -> NDArray[np.bool_] | None:
        if loaded.manifest.data.fingerprint == fingerprint:
            return None
        case = loaded.manifest.version, fingerprint
        if self._latest is None or self._latest[0] != case:
            movies = list(queries.all_movies(connection))
            found = identities(
                (movie.title for movie in movies), (join_genres(movie.genres) for movie in movies)
            )
            found_ids = [movie.movie_id for movie in movies]
            left_out = other_movies(loaded.model.movie_ids, loaded.identities, found_ids, found)
            log.warning(
                "the model was trained on other data than the database holds; train anew",
                version=loaded.manifest.version,
                trained_on=loaded.manifest.data.fingerprint,
                data=fingerprint,
                movies=len(left_out),
                movies_left_out=int(left_out.sum()),
            )
            self._latest = case, left_out
        return self._latest[1]
