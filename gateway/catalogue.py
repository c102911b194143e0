"""All movies in memory, already encoded: an answer is put together, not serialised."""

import orjson
from sqlalchemy import Engine

from shared.database import queries


class Catalogue:
    """The movies of one data revision.

    Parameters
    ----------
    revision : int
        Of the data, 0 for an empty database.
    details : dict of int to bytes
        ``"title":...,"genres":[...]`` of each movie, as it stands in every answer.
    """

    def __init__(self, revision: int, details: dict[int, bytes]) -> None:
        self.revision = revision
        self.details = details

    @classmethod
    def empty(cls) -> "Catalogue":
        """Return the catalogue before the first import."""
        return cls(0, {})

    @classmethod
    def load(cls, engine: Engine) -> "Catalogue":
        """Read the database."""
        with engine.connect() as connection, connection.begin():
            revision = queries.data_revision(connection)
            details = {
                movie.movie_id: orjson.dumps({"title": movie.title, "genres": movie.genres})[1:-1]
                for movie in queries.all_movies(connection)
            }
        return cls(revision, details)

    def __contains__(self, movie_id: int) -> bool:
        return movie_id in self.details

    def __len__(self) -> int:
        return len(self.details)
