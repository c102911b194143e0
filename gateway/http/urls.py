"""The paths of answers, as memory keeps them: without a trailing slash and below no prefix."""

import re

from shared.contract.kinds import MAX_ID, MIN_ID, Kind
from shared.contract.question import Question

API = "/api/v1"
_PREFIX = API.encode()

_QUESTION = re.compile(
    rb"%b/(?:users/([0-9]{1,10})/suggested_movies|movies/([0-9]{1,10})/most_similar_movies)" % _PREFIX
)

_OURS = re.compile(rf"(?:{API}(?:/.*)?|/docs(?:/.*)?|/redoc|/openapi\.json|/livez|/readyz|)/*", re.DOTALL)


def movie(movie_id: int) -> bytes:
    """Return the path of a movie."""
    return b"%b/movies/%d" % (_PREFIX, movie_id)


def rated(user_id: int) -> bytes:
    """Return the path of what a user rated."""
    return b"%b/users/%d" % (_PREFIX, user_id)


def ranking(kind: Kind, subject: int) -> bytes:
    """Return the path of a ranking."""
    if kind is Kind.SUGGESTED:
        return b"%b/users/%d/suggested_movies" % (_PREFIX, subject)
    return b"%b/movies/%d/most_similar_movies" % (_PREFIX, subject)


def job(job_id: str) -> str:
    """Return the path of a job."""
    return f"{API}/jobs/{job_id}"


def is_ours(path: str) -> bool:
    """Tell whether a path is one that a route could have."""
    return _OURS.fullmatch(path) is not None


def question(path: bytes) -> Question | None:
    """Return the ranking that a path asks for, None if it asks for something else or the id is impossible."""
    match = _QUESTION.fullmatch(path)
    if match is None:
        return None
    user_id, movie_id = match.groups()
    asked = (
        Question(Kind.SIMILAR, int(movie_id)) if user_id is None else Question(Kind.SUGGESTED, int(user_id))
    )
    return asked if MIN_ID <= asked.subject <= MAX_ID else None
