"""The paths of answers, without a trailing slash and below no prefix, as caches have them."""

import re

from gateway.rankings.kinds import ANSWERS, MOVIE, USER, SubjectType
from shared.contract.kinds import MAX_ID, MIN_ID
from shared.contract.question import Question

API = "/api/v1"

_OURS = re.compile(rf"(?:{API}(?:/.*)?|/docs(?:/.*)?|/redoc|/openapi\.json|/livez|/readyz|)/*", re.DOTALL)

_KINDS = list(ANSWERS)
_RANKINGS = {kind: f"{API}/{answer.about.path}/%d/{answer.name}".encode() for kind, answer in ANSWERS.items()}
_QUESTION = re.compile(b"|".join(path.replace(b"%d", b"([0-9]{1,10})") for path in _RANKINGS.values()))


def movie(movie_id: int) -> bytes:
    """Return the path of a movie."""
    return _subject(MOVIE, movie_id)


def rated(user_id: int) -> bytes:
    """Return the path of what a user rated."""
    return _subject(USER, user_id)


def ranking(question: Question) -> bytes:
    """Return the path of a ranking."""
    return _RANKINGS[question.kind] % question.subject


def all_about(question: Question) -> list[bytes]:
    """Return the paths of all that is answered about the user or movie of a question."""
    about, subject = ANSWERS[question.kind].about, question.subject
    rankings = [_RANKINGS[kind] % subject for kind, answer in ANSWERS.items() if answer.about is about]
    return [_subject(about, subject), *rankings]


def job(job_id: str) -> str:
    """Return the path of a job."""
    return f"{API}/jobs/{job_id}"


def is_ours(path: str) -> bool:
    """Tell whether a path is one that a route could have."""
    return _OURS.fullmatch(path) is not None


def question(path: bytes) -> Question | None:
    """Return the ranking that a path asks for, None if it asks for something else or the id is impossible."""
    match = _QUESTION.fullmatch(path)
    if match is None or match.lastindex is None:
        return None
    subject = int(match[match.lastindex])
    return Question(_KINDS[match.lastindex - 1], subject) if MIN_ID <= subject <= MAX_ID else None


def _subject(about: SubjectType, subject: int) -> bytes:
    return f"{API}/{about.path}/{subject}".encode()
