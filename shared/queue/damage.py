"""Explains why Redis refuses commands, and repairs keys that are damaged.

Whoever can write to our Redis can put anything there, by mistake or on purpose. A key of ours that is damaged
must affect no other user or movie, and must heal.
"""

from collections.abc import Sequence

import redis
import structlog
from redis.exceptions import RedisError, ResponseError

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.lua import load_script
from shared.queue.rq_keys import SHARED_KEYS

log = structlog.get_logger(__name__)

_REFUSALS = {
    "when used memory > 'maxmemory'": "Redis is full: it stores nothing until maxmemory is raised",
    "MISCONF": "Redis refuses writes: it cannot save to its disk, its log says why",
    "read only replica": "Redis refuses writes: it is a read-only replica",
    "NOREPLICAS": "Redis refuses writes: it has too few replicas",
    "loading the dataset": "Redis is loading its data; that passes",
    "Authentication required": "Redis wants a password: set it in QUEUE_URL and CACHE_URL",
    "WRONGPASS": "Redis refuses our password: see QUEUE_URL and CACHE_URL",
    "invalid username-password": "Redis refuses our password: see QUEUE_URL and CACHE_URL",
    "no permissions": "Redis refuses commands: our user lacks permissions",
}
"""By what Redis says; redis-py takes the first word off some errors, and scripts put others around them."""

_DAMAGES = ("WRONGTYPE", "not an integer", "not a float", "would overflow")

_MEND_SCRIPT = load_script(__package__, "mend")

_TYPES = {
    keys.COUNTERS: "hash",
    keys.ASKED: "zset",
    keys.TRAINING: "string",
    **{keys.workers(queue): "set" for queue in QueueName},
    **SHARED_KEYS,
}
"""Types of the keys that everything depends on; the first is :data:`shared.contract.keys.COUNTERS`."""


def refusal(error: BaseException) -> str | None:
    """Return why Redis refuses what it understood, in a sentence without a full stop; None if it does not."""
    text = str(error)
    return next((words for mark, words in _REFUSALS.items() if mark in text), None)


def is_damage(error: BaseException) -> bool:
    """Tell whether an error only says that a key, or a number in it, is not what it should be."""
    return isinstance(error, ResponseError) and any(mark in str(error) for mark in _DAMAGES)


def mend_keys(connection: redis.Redis) -> None:
    """Remove shared keys that are of another type than they should be, and totals that are no numbers.

    With a log line each. What is lost with them is what nobody could read.

    Parameters
    ----------
    connection : redis.Redis
        Of the queue.
    """
    removed: Sequence[bytes] = connection.register_script(_MEND_SCRIPT)(list(_TYPES), list(_TYPES.values()))
    for key in removed:
        log.warning("a damaged key was removed", key=key.decode(errors="replace"))


def count(connection: redis.Redis, counter: keys.Counter, n: int) -> None:
    """Add to a total."""
    try:
        connection.hincrby(keys.COUNTERS, counter, n)
    except RedisError as error:
        if not is_damage(error):
            raise
        mend_keys(connection)
        connection.hincrby(keys.COUNTERS, counter, n)


def execute_tolerantly(pipeline: redis.client.Pipeline, connection: redis.Redis) -> None:
    """Execute a pipeline whose totals and tables may be damaged: then they are mended, and the rest counts.

    Parameters
    ----------
    pipeline : redis.client.Pipeline
    connection : redis.Redis
        Of the same Redis.

    Raises
    ------
    RedisError
        The first error that is none of damaged keys.
    """
    errors = [reply for reply in pipeline.execute(raise_on_error=False) if isinstance(reply, Exception)]
    for error in errors:
        if not is_damage(error):
            raise error
    if errors:
        mend_keys(connection)
