"""Small queries, read row by row. Bulk reading and writing is in :mod:`shared.database.bulk`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from shared.database.schema import imports, movies, ratings, tags
from shared.genres import split_genres


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
        Counts imports.
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


# On the way of every answer, so it is built once: that takes longer than to run it.
_DATA_FINGERPRINT = select(imports.c.fingerprint).order_by(imports.c.import_id.desc()).limit(1)


def data_fingerprint(connection: Connection) -> str:
    """Return the fingerprint of the imported files, empty if nothing was imported yet.

    It is that of the contents: the number of an import says less, since it comes again after a restored
    backup.
    """
    return connection.execute(_DATA_FINGERPRINT).scalar() or ""


def all_movies(connection: Connection) -> Iterator[Movie]:
    """Yield every movie by id."""
    query = select(movies.c.movie_id, movies.c.title, movies.c.genres).order_by(movies.c.movie_id)
    for movie_id, title, genres in connection.execute(query):
        yield Movie(movie_id, title, split_genres(genres))


def user_exists(connection: Connection, user_id: int) -> bool:
    """Tell whether a user has rated anything."""
    query = select(ratings.c.user_id).where(ratings.c.user_id == user_id).limit(1)
    return connection.execute(query).first() is not None


def all_users(connection: Connection) -> Iterator[int]:
    """Yield all users who have rated anything, by id.

    One look into the index for each user, from one to the next, instead of reading all ratings.
    """
    first = select(func.min(ratings.c.user_id).label("user_id")).cte("users", recursive=True)
    following = select(func.min(ratings.c.user_id)).where(ratings.c.user_id > first.c.user_id)
    users = first.union_all(
        select(following.scalar_subquery()).where(first.c.user_id.is_not(None)).select_from(first)
    )
    yield from connection.execute(select(users.c.user_id).where(users.c.user_id.is_not(None))).scalars()


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
