"""Messages about rankings that workers, and commands that change ratings, publish to every gateway."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.contract.kinds import MAX_ID, MIN_ID, Kind
from shared.contract.question import Question


class RankingEvent(StrEnum):
    """An event in the life of rankings."""

    WRITTEN = "written"
    """They can now be read from the cache."""

    FAILED = "failed"
    """A worker could not compute them."""

    UNKNOWN = "unknown"
    """There are none: the users have rated nothing."""

    CHANGED = "changed"
    """What they were computed from has changed: nobody may show them any more."""


NEWS_LIMIT = 1000
"""Most ids in one message."""

_LONGEST_NEWS = 100 + NEWS_LIMIT * len(f" {MAX_ID}")


@dataclass(frozen=True)
class News:
    """A message about rankings of one kind.

    Attributes
    ----------
    event : RankingEvent
        What happened.
    kind : Kind
        To which kind of ranking.
    ids : list of int
        Of which users or movies.
    """

    event: RankingEvent
    kind: Kind
    ids: list[int]

    @classmethod
    def of(cls, event: RankingEvent, questions: Sequence[Question]) -> "News":
        """Return the news of questions of one kind; at least one."""
        return cls(event, questions[0].kind, [question.subject for question in questions])

    @property
    def questions(self) -> list[Question]:
        """What it is about."""
        return [Question(self.kind, subject) for subject in self.ids]

    def to_text(self) -> str:
        """Return the message, e.g. ``written suggested 1 2 3``."""
        return " ".join([self.event, self.kind, *map(str, self.ids)])

    @classmethod
    def from_text(cls, text: str) -> "News | None":
        """Read a message; None for what is none of ours, or has more in it than any of ours."""
        if len(text) > _LONGEST_NEWS or not text.isascii():
            return None
        event, _, rest = text.partition(" ")
        kind, _, ids = rest.partition(" ")
        try:
            news = cls(RankingEvent(event), Kind(kind), [int(part) for part in ids.split()])
        except ValueError:
            return None
        return news if all(MIN_ID <= subject <= MAX_ID for subject in news.ids) else None
