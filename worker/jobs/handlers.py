"""Which function runs which job, for each queue."""

from collections.abc import Mapping
from functools import partial

from shared.contract.jobs import TRAIN_JOB, QueueName
from shared.contract.kinds import RULES
from shared.queue.jobs import Handler
from worker.jobs.context import ServingContext
from worker.jobs.serve import answer
from worker.jobs.train import train
from worker.jobs.warm import answer_ahead

TRAINING_HANDLERS: Mapping[str, Handler] = {TRAIN_JOB: train}


def serving_handlers(context: ServingContext, queue: QueueName = QueueName.SERVE) -> dict[str, Handler]:
    """Return what runs the jobs of a queue for rankings.

    Parameters
    ----------
    context : ServingContext
        What they work with.
    queue : QueueName
        ``SERVE`` or ``WARM``.
    """
    compute = answer if queue is QueueName.SERVE else answer_ahead
    return {rule.job: partial(compute, context, kind) for kind, rule in RULES.items()}
