"""Every Redis key, channel and time to live that is ours; RQ's own start with ``rq:``."""

from datetime import timedelta

from shared.contract import Kind

ANSWER_TTL = timedelta(days=1)
"""Of a user's or movie's cached rankings, renewed at each write."""

CLAIM_TTL = timedelta(seconds=10)
"""Of a claim, should its holder die: twice the usual wait budget."""

HEARTBEAT_INTERVAL = timedelta(milliseconds=500)
HEARTBEAT_TTL = timedelta(seconds=2)
"""A worker that was silent for so long counts as gone."""

TRAINING_TTL = timedelta(days=7)
"""Of the note which training runs; longer than any training may take."""

ANSWERS_CHANNEL = "movierec:answers"
"""Channel on which workers say :class:`shared.contract.News`."""

TRAINING = "movierec:training"
"""Id of the training job that was accepted last."""


def ranking(kind: Kind, entity_id: int) -> tuple[str, str]:
    """Return key and field of a cached ranking: a hash per user or movie, a field per kind."""
    owner = "user" if kind is Kind.SUGGESTED else "movie"
    return f"movierec:{owner}:{entity_id}", kind.value


def claim(kind: Kind, entity_id: int) -> str:
    """Return the key that holds the id of the job which computes a ranking right now."""
    return f"movierec:claim:{kind.value}:{entity_id}"


def workers(queue: str) -> str:
    """Return the key of the set of worker ids of a queue, the dead ones not yet swept."""
    return f"movierec:workers:{queue}"


def worker(worker_id: str) -> str:
    """Return the key of a worker's heartbeat, gone :data:`HEARTBEAT_TTL` after the last one."""
    return f"movierec:worker:{worker_id}"
