"""Writes into its job how far a training is."""

import contextlib
import time

import redis
from rq.job import Job

from shared.progress import Step

_INTERVAL_SECONDS = 0.5


class JobProgress:
    """Writes progress into a job, at most twice a second.

    Parameters
    ----------
    job : Job or None
        None where a training is no job.
    """

    def __init__(self, job: Job | None) -> None:
        self._job = job
        self._phase = ""
        self._phase_started = 0.0
        self._written = 0.0

    def __call__(self, step: Step) -> None:
        """Take another step into account."""
        now = time.monotonic()
        if step.phase != self._phase:
            self._phase, self._phase_started = step.phase, now
        elif now - self._written < _INTERVAL_SECONDS and step.done != step.total:
            return
        if self._job is None:
            return
        self._written = now
        elapsed = now - self._phase_started
        left = elapsed / step.done * (step.total - step.done) if step.done and step.total else None
        self._job.meta["progress"] = {
            "phase": step.phase,
            "done": step.done,
            "total": step.total,
            "unit": step.unit,
            "seconds_left": None if left is None else round(left, 1),
            "metrics": {name: float(value) for name, value in step.metrics.items()},
        }
        # Hours of training must not end because nobody could be told how far it is.
        with contextlib.suppress(redis.RedisError):
            self._job.save_meta()  # type: ignore[no-untyped-call]
