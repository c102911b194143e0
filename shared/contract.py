"""What gateway and worker promise each other: kinds of rankings, jobs and their payloads.

A worker promises: for each id of a job it writes a :class:`~shared.ranking.Ranking` to the key that
:mod:`shared.keys` names and then publishes the id; of a user who has rated nothing it only says so. A job may
run more than once; the result is the same.
"""

from dataclasses import dataclass
from enum import StrEnum

MIN_ID, MAX_ID = 1, 2**31 - 1
"""Range of user and movie ids: what fits a PostgreSQL INTEGER and an ``int32`` array."""


class QueueName(StrEnum):
    """The queues; a worker process listens to exactly one."""

    SERVE = "serve"
    """Questions that somebody waits for."""

    WARM = "warm"
    """Questions that somebody is likely to ask; the first to be dropped when there is much to do."""

    TRAIN = "train"


class Kind(StrEnum):
    """What can be ranked; the value is the field in the cache."""

    SUGGESTED = "suggested"
    SIMILAR = "similar"


@dataclass(frozen=True)
class RankingRule:
    """The fixed part of a ranking.

    Attributes
    ----------
    job : str
        Job that computes it.
    limit : int
        Most movies in it.
    decimals : int
        Digits after the point of its scores.
    """

    job: str
    limit: int
    decimals: int


RULES = {
    Kind.SUGGESTED: RankingRule(job="worker.jobs.suggest", limit=150, decimals=3),
    Kind.SIMILAR: RankingRule(job="worker.jobs.find_similar", limit=100, decimals=2),
}


class RankingEvent(StrEnum):
    """What happened to rankings."""

    WRITTEN = "written"
    """They can now be read from the cache."""

    FAILED = "failed"
    """A worker could not compute them."""

    UNKNOWN = "unknown"
    """There are none: the users have rated nothing."""

    CHANGED = "changed"
    """What they were computed from has changed: nobody may show them any more."""


@dataclass(frozen=True)
class News:
    """What is published about rankings.

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

    def to_text(self) -> str:
        """Return the message, e.g. ``written suggested 1 2 3``."""
        return " ".join([self.event, self.kind, *map(str, self.ids)])

    @classmethod
    def from_text(cls, text: str) -> "News | None":
        """Read a message; None for what is none of ours."""
        event, _, rest = text.partition(" ")
        kind, _, ids = rest.partition(" ")
        try:
            return cls(RankingEvent(event), Kind(kind), [int(part) for part in ids.split()])
        except ValueError:
            return None


TRAIN_JOB = "worker.jobs.train"

ALLOWED_JOBS = frozenset({TRAIN_JOB, *(rule.job for rule in RULES.values())})
"""The only functions that a queue may name."""

BATCH_LIMIT = 128
"""Most ids in one job."""
