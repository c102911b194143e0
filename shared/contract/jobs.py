"""The queues, and the only functions that their jobs may name."""

import re
from enum import StrEnum

from shared.contract.kinds import RULES


class QueueName(StrEnum):
    """The queues; a worker process listens to exactly one."""

    SERVE = "serve"
    """Questions that somebody waits for."""

    WARM = "warm"
    """Questions that somebody is likely to ask; the first to be dropped when there is much to do."""

    TRAIN = "train"


TRAIN_JOB = "worker.jobs.train"

ALLOWED_JOBS = frozenset({TRAIN_JOB, *(rule.job for rule in RULES.values())})
"""The only functions that a queue may name."""

BATCH_LIMIT = 128
"""Most ids in one job."""

_JOB_ID = re.compile("[0-9a-f]{32}")


def is_job_id(value: str | bytes) -> bool:
    """Tell whether something is the id of a job of ours: what is in Redis, anybody may have written."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return _JOB_ID.fullmatch(text) is not None
