"""The cache of rankings: reads and writes many with one command, whatever somebody may have put there."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import redis
from redis.client import Pipeline

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.lua import load_script
from shared.rankings.ranking import Ranking

ANSWER_TTL_SECONDS = int(keys.ANSWER_TTL.total_seconds())

READ_SCRIPT = load_script(__package__, "read")
_WRITE_SCRIPT = load_script(__package__, "write")


class CachedRanking(NamedTuple):
    """What the cache holds for a question.

    Attributes
    ----------
    ranking : Ranking or None
        The ranking, of whatever version and data; None as well for what is no answer to the question.
    changes : int
        How often the user's ratings have changed by now; a ranking of another count is stale.
    """

    ranking: Ranking | None
    changes: int

    def is_fresh(self, versions: Collection[str], fingerprint: str) -> bool:
        """Tell whether there is a ranking that may be shown; see :meth:`Ranking.is_fresh`."""
        return self.ranking is not None and self.ranking.is_fresh(versions, fingerprint, self.changes)


def read_arguments(questions: Sequence[Question]) -> tuple[list[str], list[str]]:
    """Return keys and arguments of :data:`READ_SCRIPT`."""
    places = [keys.ranking(*question) for question in questions]
    return [key for key, _ in places], [*(field for _, field in places), keys.CHANGES_FIELD]


def parse_replies(questions: Sequence[Question], replies: Sequence[bytes | None]) -> list[CachedRanking]:
    """Return what :data:`READ_SCRIPT` found for each question."""
    return [
        CachedRanking(_answer(question.kind, packed), int(changes or 0))
        for question, packed, changes in zip(questions, replies[::2], replies[1::2], strict=True)
    ]


def read_rankings(cache: redis.Redis, questions: Sequence[Question]) -> list[CachedRanking]:
    """Return what the cache holds for each question, in one round trip."""
    return parse_replies(questions, cache.register_script(READ_SCRIPT)(*read_arguments(questions)))


def read_changes(cache: redis.Redis, questions: Sequence[Question]) -> list[int]:
    """Return how often the ratings behind each question have changed, in one round trip."""
    names, _ = read_arguments(questions)
    fields = [keys.CHANGES_FIELD] * (len(names) + 1)
    return [int(changes or 0) for changes in cache.register_script(READ_SCRIPT)(names, fields)[::2]]


def write_rankings(cache: redis.Redis | Pipeline, answers: Iterable[tuple[Question, Ranking]]) -> None:
    """Write rankings to the cache, with one command."""
    names: list[str] = []
    arguments: list[str | bytes | int] = [ANSWER_TTL_SECONDS]
    for question, ranking in answers:
        name, field = keys.ranking(*question)
        names.append(name)
        arguments += [field, ranking.to_bytes()]
    if names:
        cache.eval(_WRITE_SCRIPT, len(names), *names, *arguments)


def _answer(kind: Kind, packed: bytes | None) -> Ranking | None:
    ranking = Ranking.from_bytes(packed) if packed else None
    return ranking if ranking is not None and ranking.answers(kind) else None
