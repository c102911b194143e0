"""The only functions that a queue may name.

A serving worker calls :func:`configure` before it listens. ``suggest`` and ``find_similar`` may run more than
once for the same ids: they overwrite a ranking with the same one.
"""

import time
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from rq import get_current_job
from rq.timeouts import JobTimeoutException

from shared import keys
from shared.algorithms import parse_config
from shared.artifacts import ArtifactStore
from shared.contract import Kind, News, Outcome
from shared.database.engine import open_database
from shared.errors import MovierecError
from shared.progress import Step
from shared.settings import WorkerSettings, load
from worker.serving import Serving

log = structlog.get_logger(__name__)

_PROGRESS_INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class ServingContext:
    """What the serving jobs of this process work with."""

    serving: Serving
    cache: redis.Redis
    queue: redis.Redis


_context: ServingContext | None = None


def configure(context: ServingContext) -> None:
    """Set what the serving jobs of this process work with."""
    global _context  # noqa: PLW0603  # RQ calls jobs by name: there is no other way to hand it in
    _context = context


def suggest(ids: list[int], deadline: float) -> dict[str, int]:
    """Rank the movies that users have not rated; see :func:`_answer`."""
    return _answer(Kind.SUGGESTED, ids, deadline)


def find_similar(ids: list[int], deadline: float) -> dict[str, int]:
    """Rank the movies most similar to others; see :func:`_answer`."""
    return _answer(Kind.SIMILAR, ids, deadline)


def _answer(kind: Kind, ids: list[int], deadline: float) -> dict[str, int]:
    """Compute rankings, write them to the cache and tell every gateway.

    Parameters
    ----------
    kind : Kind
        What to rank.
    ids : list of int
        Users or movies.
    deadline : float
        Unix time after which nobody waits, so that nothing is computed.

    Returns
    -------
    dict
        ``computed`` and ``expired``: how many ids.
    """
    if _context is None:
        raise RuntimeError("this process does not serve: worker.jobs.configure was not called")
    claims = [keys.claim(kind, entity_id) for entity_id in ids]
    if time.time() > deadline:
        _context.queue.delete(*claims)
        return {"computed": 0, "expired": len(ids)}
    outcome = Outcome.FAILED
    try:
        rankings = _context.serving.rank(kind, ids)
        with _context.cache.pipeline(transaction=False) as pipeline:
            for entity_id, ranking in zip(ids, rankings, strict=True):
                key, field = keys.ranking(kind, entity_id)
                pipeline.hset(key, field, ranking.to_bytes())
                pipeline.expire(key, keys.ANSWER_TTL)
            pipeline.execute()
        outcome = Outcome.WRITTEN
    finally:
        # Only now, so that whoever hears of it finds it; in one step, so that a claim means news to come.
        with _context.queue.pipeline(transaction=True) as pipeline:
            pipeline.publish(keys.ANSWERS_CHANNEL, News(outcome, kind, ids).to_text())
            pipeline.delete(*claims)
            pipeline.execute()
    return {"computed": len(ids), "expired": 0}


def train(algorithm: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Train on what the database holds and publish the model.

    Returns
    -------
    dict
        ``model_version``, ``algorithm`` and ``metrics`` of the new version.

    Raises
    ------
    MovierecError
        If it cannot be done; such a job is not tried again, since it would fail the same way.
    """
    from worker.training import train as train_and_publish  # heavy: only the forked child pays

    settings = load(WorkerSettings)
    try:
        config = parse_config(algorithm, parameters)
        manifest = train_and_publish(
            open_database(settings.database),
            ArtifactStore(settings.models),
            config,
            keep=settings.keep_versions,
            progress=_JobProgress(),
        )
    except (MovierecError, JobTimeoutException):
        job = get_current_job()
        if job is not None:
            job.retries_left = 0
        raise
    return {
        "model_version": manifest.version,
        "algorithm": manifest.algorithm,
        "metrics": manifest.metrics,
    }


class _JobProgress:
    """Writes progress into the job, at most twice a second."""

    def __init__(self) -> None:
        self._job = get_current_job()
        self._phase = ""
        self._phase_started = 0.0
        self._written = 0.0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.phase != self._phase:
            self._phase, self._phase_started = step.phase, now
        elif now - self._written < _PROGRESS_INTERVAL_SECONDS and step.done != step.total:
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
        self._job.save_meta()  # type: ignore[no-untyped-call]
