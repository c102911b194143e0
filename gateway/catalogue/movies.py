"""Keeps movies, already encoded, and user ids in memory, so that an answer is joined and not serialised."""

from array import array
from bisect import bisect_left

import orjson
from sqlalchemy import Engine

from shared.database import queries

_HIGHEST_LISTED = 2**21
"""Id of a movie up to which a list has a place for each: 16 MB. MovieLens' highest is below 300,000."""


class Catalogue:
    """The movies and users of one data set.

    Parameters
    ----------
    fingerprint : str
        Of the data, empty for an empty database.
    fragments : dict of int to bytes
        ``{"id":1,"title":"...","genres":[...]`` of each movie: an object that is not closed yet.
    user_ids : array of int
        Users who have rated anything, ascending; four bytes each.
    """

    def __init__(self, fingerprint: str, fragments: dict[int, bytes], user_ids: "array[int]") -> None:
        self.fingerprint = fingerprint
        self.fragments = fragments
        self.by_id = _by_id(fragments)
        """The same for ranges of ids: what is not there is None, or raises ``LookupError``."""
        self._user_ids = user_ids

    @classmethod
    def empty(cls) -> "Catalogue":
        """Return the catalogue before the first import."""
        return cls("", {}, array("i"))

    @classmethod
    def load(cls, engine: Engine) -> "Catalogue":
        """Read the database."""
        with engine.connect() as connection, connection.begin():
            fingerprint = queries.data_fingerprint(connection)
            fragments = {
                movie.movie_id: orjson.dumps(
                    {"id": movie.movie_id, "title": movie.title, "genres": movie.genres}
                )[:-1]
                for movie in queries.all_movies(connection)
            }
            user_ids = array("i", queries.all_users(connection))
        return cls(fingerprint, fragments, user_ids)

    def has_user(self, user_id: int) -> bool:
        """Tell whether a user had rated anything when this was read; there may be new ones since."""
        place = bisect_left(self._user_ids, user_id)
        return place < len(self._user_ids) and self._user_ids[place] == user_id

    def details(self, movie_id: int) -> bytes:
        """Return ``"title":"...","genres":[...]`` of a movie."""
        fragment = self.fragments[movie_id]
        return fragment[fragment.index(b",") + 1 :]

    def __contains__(self, movie_id: int) -> bool:
        return movie_id in self.fragments

    def __len__(self) -> int:
        return len(self.fragments)


def _by_id(fragments: dict[int, bytes]) -> list[bytes | None] | dict[int, bytes]:
    """Return a list if no id is too high for one: it is looked up in half the time of a hash table."""
    highest = max(fragments, default=0)
    if highest > _HIGHEST_LISTED:
        return fragments
    return [fragments.get(movie_id) for movie_id in range(highest + 1)]
