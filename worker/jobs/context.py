"""What the jobs that need a model work with."""

from dataclasses import dataclass, field

import redis

from shared.queue.clock import RedisClock
from worker.serving import Serving


@dataclass(frozen=True)
class ServingContext:
    """The model, the connections and the clock of a worker that answers questions.

    Attributes
    ----------
    serving : Serving
        The model.
    cache, queue : redis.Redis
        Of the rankings, and of claims and news. The same object if both are in the same Redis: then the
        answers and the news of them are written in one step.
    clock : RedisClock
        Of deadlines.
    """

    serving: Serving
    cache: redis.Redis
    queue: redis.Redis
    clock: RedisClock = field(default_factory=RedisClock)
