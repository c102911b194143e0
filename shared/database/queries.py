"""Small questions, answered row by row. Bulk reading and writing is in :mod:`shared.database.bulk`."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy import Connection, TextClause, select, text

from shared.database.schema import imports, movies, ratings, tags


@dataclass(frozen=True)
class Movie:
    """A movie as it is shown.

    Attributes
    ----------
    movie_id : int
        MovieLens id.
    title : str
        As in the file.
    genres : list of str
        In the file's order.
    """

    movie_id: int
    title: str
    genres: list[str]


@dataclass(frozen=True)
class RatedMovie:
    """A movie that a user rated.

    Attributes
    ----------
    movie_id : int
        MovieLens id.
    rating : float
        Stars.
    tags : list of str
        This user's tags of that movie, oldest first.
    """

    movie_id: int
    rating: float
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Import:
    """What the database holds.

    Attributes
    ----------
    import_id : int
        The data revision; grows with each import.
    name, fingerprint : str
        Of the imported files.
    n_users, n_movies, n_ratings, n_tags : int
        Sizes.
    """

    import_id: int
    name: str
    fingerprint: str
    n_users: int
    n_movies: int
    n_ratings: int
    n_tags: int


def current_import(connection: Connection) -> Import | None:
    """Return what the database holds, None if nothing was imported yet."""
    columns = [imports.c[name] for name in Import.__dataclass_fields__]
    row = connection.execute(select(*columns).order_by(imports.c.import_id.desc()).limit(1)).first()
    return Import(*row) if row else None


def data_revision(connection: Connection) -> int:
    """Return the revision of the data, 0 if nothing was imported yet."""
    imported = current_import(connection)
    return imported.import_id if imported else 0


def split_genres(genres: str) -> list[str]:
    """Return the genres of their joined form."""
    return genres.split("|") if genres else []


def all_movies(connection: Connection) -> Iterator[Movie]:
    """Yield every movie by id."""
    query = select(movies.c.movie_id, movies.c.title, movies.c.genres).order_by(movies.c.movie_id)
    for movie_id, title, genres in connection.execute(query):
        yield Movie(movie_id, title, split_genres(genres))


def known_users(connection: Connection, user_ids: Collection[int]) -> set[int]:
    """Return those of several users who have rated anything."""
    parameters = {f"user_{number}": user_id for number, user_id in enumerate(user_ids)}
    row = connection.execute(_known_users_query(len(user_ids)), parameters).one()
    return {user_id for user_id in row if user_id is not None}


@cache
def _known_users_query(n: int) -> TextClause:
    """Return a query of one row, each user's id or nothing: a look into the index each, and no more."""
    looks = (f"(SELECT user_id FROM ratings WHERE user_id = :user_{i} LIMIT 1)" for i in range(n))
    return text(f"SELECT {', '.join(looks)}")


def some_users(connection: Connection, n: int) -> list[int]:
    """Return the first users by id, at most ``n``."""
    query = select(ratings.c.user_id).distinct().order_by(ratings.c.user_id).limit(n)
    return list(connection.execute(query).scalars())


def rated_movies(connection: Connection, user_id: int) -> list[RatedMovie]:
    """Return what a user rated, best first, then by id; empty for an unknown user."""
    user_tags: dict[int, list[str]] = {}
    tag_query = (
        select(tags.c.movie_id, tags.c.tag)
        .where(tags.c.user_id == user_id)
        .order_by(tags.c.movie_id, tags.c.timestamp, tags.c.tag)
    )
    for movie_id, tag in connection.execute(tag_query):
        user_tags.setdefault(movie_id, []).append(tag)
    query = (
        select(ratings.c.movie_id, ratings.c.rating)
        .where(ratings.c.user_id == user_id)
        .order_by(ratings.c.rating.desc(), ratings.c.movie_id)
    )
    return [
        RatedMovie(movie_id, rating, user_tags.get(movie_id, []))
        for movie_id, rating in connection.execute(query)
    ]


def ratings_of(connection: Connection, user_ids: Collection[int]) -> list[tuple[int, int, float, int]]:
    """Return ``(user_id, movie_id, rating, timestamp)`` of several users in one query, in no set order."""
    query = select(ratings.c.user_id, ratings.c.movie_id, ratings.c.rating, ratings.c.timestamp)
    return [tuple(row) for row in connection.execute(query.where(ratings.c.user_id.in_(user_ids)))]
