"""The kinds of rankings, and what is promised of each."""

import re
from dataclasses import dataclass
from enum import StrEnum

MIN_ID, MAX_ID = 1, 2**31 - 1
"""Range of user and movie ids: what fits a PostgreSQL INTEGER and an ``int32`` array."""

MAX_CHANGES = 10**9
"""Above any count of changes of a user's ratings: what is written beside a ranking in four bytes."""

MODEL_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[a-z0-9_]{1,40}-[0-9a-f]{6}")
"""What the whole name of a model version looks like, e.g. ``20261122T201530Z-svd-1f3c9a``."""


class Kind(StrEnum):
    """A kind of ranking; the value is its field in the cache."""

    SUGGESTED = "suggested"
    SIMILAR = "similar"


@dataclass(frozen=True)
class RankingRule:
    """What is the same for all rankings of a kind; a new kind is a new row of :data:`RULES`.

    Attributes
    ----------
    job : str
        Job that computes it.
    owner : str
        What it belongs to, ``user`` or ``movie``: a part of its key, and the unit in which people read it.
    limit : int
        Most movies in it.
    decimals : int
        Digits after the point of its scores.
    highest : int
        No score is above it, or below 0.
    """

    job: str
    owner: str
    limit: int
    decimals: int
    highest: int


RULES = {
    Kind.SUGGESTED: RankingRule(job="worker.jobs.suggest", owner="user", limit=150, decimals=3, highest=5),
    Kind.SIMILAR: RankingRule(
        job="worker.jobs.find_similar", owner="movie", limit=100, decimals=2, highest=1
    ),
}
