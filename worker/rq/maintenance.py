"""Cleaning up after dead workers."""

import time
from typing import Any

import redis
import structlog
from rq import worker_registration
from rq.registry import clean_registries
from rq.worker import BaseWorker

from shared.queue.damage import mend_keys

log = structlog.get_logger(__name__)


class MaintainingWorker(BaseWorker):
    """Cleans its queues in each interval, by a clock that nobody can set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._next_maintenance = 0.0
        super().__init__(*args, **kwargs)

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether the interval is over, by a clock that nobody can set."""
        return time.monotonic() >= self._next_maintenance

    def run_maintenance_tasks(self) -> None:
        """Clean up after dead workers; one job that RQ cannot read must not end all workers in turn."""
        self._next_maintenance = time.monotonic() + self.maintenance_interval
        mend_keys(self.connection)
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            raise
        except Exception:
            log.exception("maintenance failed")

    def clean_registries(self) -> None:
        """Clean the registries of each queue, one worker of all in each interval.

        RQ's lock is given back at once, so that every worker cleans in every interval, and it outlives a
        worker that dies with it by a quarter of an hour.
        """
        for queue in self.queues:
            lifetime = max(1, self.maintenance_interval - 1)
            if self.connection.set(queue.registry_cleaning_key, self.name, nx=True, ex=lifetime):
                clean_registries(queue, self._exc_handlers)
                worker_registration.clean_worker_registry(queue)
                queue.intermediate_queue.cleanup(self, queue)
