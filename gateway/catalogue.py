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
    fragments : dict of int to bytes
        ``{"id":1,"title":"...","genres":[...]`` of each movie: an object that is not closed yet.
    """

    def __init__(self, revision: int, fragments: dict[int, bytes]) -> None:
        self.revision = revision
        self.fragments = fragments

    @classmethod
    def empty(cls) -> "Catalogue":
        """Return the catalogue before the first import."""
        return cls(0, {})

    @classmethod
    def load(cls, engine: Engine) -> "Catalogue":
        """Read the database."""
        with engine.connect() as connection, connection.begin():
            revision = queries.data_revision(connection)
            fragments = {
                movie.movie_id: orjson.dumps(
                    {"id": movie.movie_id, "title": movie.title, "genres": movie.genres}
                )[:-1]
                for movie in queries.all_movies(connection)
            }
        return cls(revision, fragments)

    def details(self, movie_id: int) -> bytes:
        """Return ``"title":"...","genres":[...]`` of a movie."""
        fragment = self.fragments[movie_id]
        return fragment[fragment.index(b",") + 1 :]

    def __contains__(self, movie_id: int) -> bool:
        return movie_id in self.fragments

    def __len__(self) -> int:
        return len(self.fragments)
