"""Every Redis key, channel and time to live that is ours; RQ's own start with ``rq:``."""

from datetime import timedelta
from enum import StrEnum

from shared.contract.kinds import MAX_ID, MIN_ID, RULES, Kind
from shared.contract.question import Question


class Counter(StrEnum):
    """What is counted, as fields of :data:`COUNTERS`."""

    COMPUTED = "computed"
    """Rankings that workers computed."""

    EXPIRED = "expired"
    """Questions that were skipped, since nobody waited for the answer any more."""

    FAILED = "failed"
    """Questions that a worker could not answer."""

    SHED = "shed"
    """Questions of the warm queue that were dropped, since there was more urgent work."""

    REFUSED = "refused"
    """Jobs that were not ours: they named another function, other arguments, or wanted callbacks."""


ANSWER_TTL = timedelta(days=1)
"""Time to live of a user's or movie's cached rankings, renewed at each write."""

HEARTBEAT_INTERVAL = timedelta(milliseconds=500)
HEARTBEAT_TTL = timedelta(seconds=2)
"""A worker that was silent for so long counts as gone."""

TRAINING_TTL = timedelta(days=7)
"""Time to live of the note which training runs; longer than any training may take."""

ASKED_TTL = timedelta(days=7)
"""Time to live of the table of what is asked most, renewed at each write."""

WARMING_TTL = timedelta(minutes=10)
"""Time to live of the note that one gateway has asked for the warming of a version."""

CHECK = "movierec:check"
"""Written by each gateway twice a second, to see whether Redis stores anything."""

CHECK_TTL = timedelta(seconds=10)

ANSWERS_CHANNEL = "movierec:answers"
"""Channel of :class:`shared.contract.news.News`."""

WORKERS_CHANNEL = "movierec:workers-changed"
"""Channel on which a worker says its id when it comes, goes or switches to another model."""

ASKED = "movierec:asked"
"""Sorted set of what is asked most, ``<kind>:<id>`` by a count that fades; see :func:`asked`."""

COUNTERS = "movierec:counters"
"""Hash of totals over all workers: see :class:`Counter`. It has no time to live: totals are for good."""

CHANGES_FIELD = "changes"
"""Field, in the hash of a user's cached rankings, that counts the changes of the user's ratings."""

TRAINING = "movierec:training"
"""Id of the training job that was accepted last."""


def owner(unit: str, subject: int) -> str:
    """Return the key of all cached rankings of a ``user`` or ``movie``."""
    return f"movierec:{unit}:{subject}"


def ranking(kind: Kind, subject: int) -> tuple[str, str]:
    """Return key and field of a cached ranking: a hash per user or movie, a field per kind."""
    return owner(RULES[kind].owner, subject), kind.value


def claim(kind: Kind, subject: int) -> str:
    """Return the key that holds the job which computes a ranking; see :mod:`shared.rankings.claims`."""
    return f"movierec:claim:{kind.value}:{subject}"


def asked(kind: Kind, subject: int) -> str:
    """Return a member of :data:`ASKED`."""
    return f"{kind.value}:{subject}"


def parse_asked(member: bytes) -> Question | None:
    """Return the question that a member of :data:`ASKED` stands for, None for anything else."""
    kind, _, digits = member.decode(errors="replace").partition(":")
    if kind not in {*Kind} or not (digits.isascii() and digits.isdigit() and len(digits) <= len(f"{MAX_ID}")):
        return None
    return Question(Kind(kind), int(digits)) if MIN_ID <= int(digits) <= MAX_ID else None


def warming(version: str, fingerprint: str) -> str:
    """Return the key of the note that the answers of a model, for some data, are being warmed."""
    return f"movierec:warming:{version}:{fingerprint}"


def workers(queue: str) -> str:
    """Return the key of the set of worker ids of a queue, the dead ones not yet swept."""
    return f"movierec:workers:{queue}"


def worker(worker_id: str) -> str:
    """Return the key of a worker's heartbeat, gone :data:`HEARTBEAT_TTL` after the last one."""
    return f"movierec:worker:{worker_id}"
