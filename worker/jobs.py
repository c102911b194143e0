"""The only functions that a queue may name.

A serving worker calls :func:`configure` before it listens. ``suggest`` and ``find_similar`` may run more than
once for the same ids: they overwrite a ranking with the same one.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis
import structlog
from rq import get_current_job
from rq.timeouts import JobTimeoutException

from shared import keys
from shared.algorithms import parse_config
from shared.artifacts import ArtifactStore
from shared.contract import Kind, News, RankingEvent
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
        with _context.queue.pipeline(transaction=False) as pipeline:
            pipeline.delete(*claims)
            pipeline.hincrby(keys.COUNTERS, keys.Counter.EXPIRED, len(ids))
            pipeline.execute()
        return {"computed": 0, "expired": len(ids)}
    event, counter = RankingEvent.FAILED, keys.Counter.FAILED
    try:
        compute_rankings(_context.serving, _context.cache, kind, ids)
        event, counter = RankingEvent.WRITTEN, keys.Counter.COMPUTED
    finally:
        # Only now, so that whoever hears of it finds it; in one step, so that a claim means news to come.
        with _context.queue.pipeline(transaction=True) as pipeline:
            pipeline.publish(keys.ANSWERS_CHANNEL, News(event, kind, ids).to_text())
            pipeline.delete(*claims)
            pipeline.hincrby(keys.COUNTERS, counter, len(ids))
            pipeline.execute()
    return {"computed": len(ids), "expired": 0}


def compute_rankings(serving: Serving, cache: redis.Redis, kind: Kind, ids: Sequence[int]) -> None:
    """Compute rankings and write them to the cache.

    Parameters
    ----------
    serving : Serving
        With a model.
    cache : redis.Redis
        Of the rankings.
    kind : Kind
        What to rank.
    ids : sequence of int
        Users or movies.
    """
    changes = _read_changes(cache, ids) if kind is Kind.SUGGESTED else [0] * len(ids)
    rankings = serving.rank(kind, ids)
    with cache.pipeline(transaction=False) as pipeline:
        for entity_id, ranking, count in zip(ids, rankings, changes, strict=True):
            key, field = keys.ranking(kind, entity_id)
            pipeline.hset(key, field, replace(ranking, changes=count).to_bytes())
            pipeline.expire(key, keys.ANSWER_TTL)
        pipeline.execute()


def _read_changes(cache: redis.Redis, user_ids: Sequence[int]) -> list[int]:
    """Read how often users' ratings have changed; before the ratings, so that a change meanwhile shows."""
    with cache.pipeline(transaction=False) as pipeline:
        for user_id in user_ids:
            pipeline.hget(keys.ranking(Kind.SUGGESTED, user_id)[0], keys.CHANGES_FIELD)
        return [int(count or 0) for count in pipeline.execute()]


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
