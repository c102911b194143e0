"""The paths of answers, as memory keeps them: without a trailing slash."""

from shared.contract import Kind

API = "/api/v1"
_PREFIX = API.encode()


def movie(movie_id: int) -> bytes:
    """Return the path of a movie."""
    return b"%b/movies/%d" % (_PREFIX, movie_id)


def rated(user_id: int) -> bytes:
    """Return the path of what a user rated."""
    return b"%b/users/%d" % (_PREFIX, user_id)


def ranking(kind: Kind, entity_id: int) -> bytes:
    """Return the path of a ranking."""
    if kind is Kind.SUGGESTED:
        return b"%b/users/%d/suggested_movies" % (_PREFIX, entity_id)
    return b"%b/movies/%d/most_similar_movies" % (_PREFIX, entity_id)
