"""The only functions that a queue may name.

A serving or warming worker calls :func:`configure` before it listens. ``suggest`` and ``find_similar`` may
run more than once for the same ids: they overwrite a ranking with the same one.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis
import structlog
from redis.client import Pipeline
from rq import get_current_job
from rq.timeouts import JobTimeoutException

from shared.algorithms import parse_config
from shared.artifacts.store import ArtifactStore
from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.database.engine import open_database
from shared.errors import MovierecError
from shared.progress import Step
from shared.queue.clock import RedisClock
from shared.queue.damage import count, execute_tolerantly
from shared.queue.jobs import open_queue
from shared.rankings.ranking import Ranking
from shared.rankings.store import READ_RANKINGS, read_arguments
from shared.settings import WorkerSettings, load
from worker.serving import Serving

log = structlog.get_logger(__name__)

# One command for a batch: for a pipeline of hundreds redis-py alone takes milliseconds.
_WRITE = """
for i, key in ipairs(KEYS) do
  local outcome = redis.pcall('HSET', key, ARGV[2 * i], ARGV[2 * i + 1])
  if type(outcome) == 'table' and outcome.err then
    if not string.find(outcome.err, 'WRONGTYPE') then
      return outcome
    end
    redis.call('DEL', key)
    redis.call('HSET', key, ARGV[2 * i], ARGV[2 * i + 1])
  end
  redis.call('EXPIRE', key, ARGV[1])
end
"""
"""What is no hash where a ranking belongs makes room for it."""

_SETTLE = """
for _, claim in ipairs(KEYS) do
  redis.call('SET', claim, ARGV[1], 'PX', ARGV[2])
end
"""

_PROGRESS_INTERVAL_SECONDS = 0.5

_SHED_ABOVE = 2
"""Questions of users that may wait, for each serving worker, before warm jobs are dropped: one that is being
handed over and one behind it are no queue."""


@dataclass(frozen=True)
class ServingContext:
    """What the serving jobs of this process work with.

    Attributes
    ----------
    serving : Serving
        The model.
    cache, queue : redis.Redis
        Of the rankings, and of claims and news.
    listens_to : QueueName
        ``SERVE`` or ``WARM``.
    clock : RedisClock
        Of deadlines.
    """

    serving: Serving
    cache: redis.Redis
    queue: redis.Redis
    listens_to: QueueName = QueueName.SERVE
    clock: RedisClock = field(default_factory=RedisClock)


_context: ServingContext | None = None


def configure(context: ServingContext) -> None:
    """Set what the serving jobs of this process work with."""
    global _context  # noqa: PLW0603  # RQ calls jobs by name: there is no other way to hand it in
    _context = context


def suggest(ids: list[int], deadline: float, changes: list[int] | None = None) -> dict[str, int]:
    """Rank the movies that users have not rated; see :func:`_answer` and :func:`_answer_ahead`."""
    return _run(Kind.SUGGESTED, ids, deadline, changes)


def find_similar(ids: list[int], deadline: float, changes: list[int] | None = None) -> dict[str, int]:
    """Rank the movies most similar to others; see :func:`_answer` and :func:`_answer_ahead`."""
    return _run(Kind.SIMILAR, ids, deadline, changes)


def _run(kind: Kind, ids: list[int], deadline: float, changes: list[int] | None) -> dict[str, int]:
    if _context is None:
        raise RuntimeError("this process does not serve: worker.jobs.configure was not called")
    if _context.listens_to is not QueueName.SERVE:
        return _answer_ahead(_context, kind, ids, deadline)
    return _answer(_context, kind, ids, deadline, changes or [0] * len(ids))


def _answer(
    context: ServingContext, kind: Kind, ids: list[int], deadline: float, changes: list[int]
) -> dict[str, int]:
    """Compute rankings, write them to the cache and tell every gateway.

    Parameters
    ----------
    context : ServingContext
    kind : Kind
        What to rank.
    ids : list of int
        Users or movies.
    deadline : float
        Redis' time after which nobody waits, so that nothing is computed.
    changes : list of int
        How often the ratings of each user had changed when the gateway asked. It read that before the
        ratings are read here, so that a change meanwhile shows.

    Returns
    -------
    dict
        ``computed`` and ``expired``: how many ids; the rest does not exist.
    """
    claims = [keys.claim(kind, entity_id) for entity_id in ids]
    if context.clock.now() > deadline:
        with context.queue.pipeline(transaction=False) as pipeline:
            pipeline.delete(*claims)
            pipeline.hincrby(keys.COUNTERS, keys.Counter.EXPIRED, len(ids))
            execute_tolerantly(pipeline, context.queue)
        return {"computed": 0, "expired": len(ids)}
    done, unknown = Ranked([], []), list[int]()
    event, counter = RankingEvent.FAILED, keys.Counter.FAILED
    try:
        done, unknown = _rank(context.serving, kind, ids, changes)
        if context.cache is not context.queue:
            write_rankings(context.cache, kind, *done)
        event, counter = RankingEvent.WRITTEN, keys.Counter.COMPUTED
    finally:
        # Only now, so that whoever hears of it finds it; in one step, so that a claim means news to come.
        with context.queue.pipeline(transaction=True) as pipeline:
            if context.cache is context.queue:
                write_rankings(pipeline, kind, *done)
            written = done.ids if event is RankingEvent.WRITTEN else []
            told = ids if event is RankingEvent.FAILED else written
            if told:
                pipeline.publish(keys.ANSWERS_CHANNEL, News(event, kind, told).to_text())
                pipeline.hincrby(keys.COUNTERS, counter, len(told))
            if written:
                settled = [keys.claim(kind, entity_id) for entity_id in written]
                lifetime = round(keys.SETTLED_TTL.total_seconds() * 1000)
                pipeline.eval(_SETTLE, len(settled), *settled, keys.SETTLED, lifetime)
            if unknown:
                pipeline.publish(keys.ANSWERS_CHANNEL, News(RankingEvent.UNKNOWN, kind, unknown).to_text())
            free = unknown if event is RankingEvent.WRITTEN else ids
            if free:
                pipeline.delete(*(keys.claim(kind, entity_id) for entity_id in free))
            execute_tolerantly(pipeline, context.queue)
    return {"computed": len(done.ids), "expired": 0}


class Ranked(NamedTuple):
    """Rankings and whose they are."""

    ids: list[int]
    rankings: list[Ranking]


def _rank(
    serving: Serving, kind: Kind, ids: Sequence[int], changes: Sequence[int]
) -> tuple[Ranked, list[int]]:
    """Return the rankings of those who exist, each with its count of changes, and who does not exist."""
    done, unknown = Ranked([], []), []
    questions = [Question(kind, subject_id) for subject_id in ids]
    for entity_id, ranking, own_changes in zip(ids, serving.rank(questions), changes, strict=True):
        if ranking is None:
            unknown.append(entity_id)
        else:
            done.ids.append(entity_id)
            done.rankings.append(ranking._replace(changes=own_changes))
    return done, unknown


def _answer_ahead(context: ServingContext, kind: Kind, ids: list[int], deadline: float) -> dict[str, int]:
    """Compute what is likely to be asked, with the newest model, unless users wait for something else.

    Nobody waits for these answers, so a failure is not told, and claims, which belong to questions of users,
    are left alone. What is in the cache and fresh is not computed again.

    Returns
    -------
    dict
        ``computed``, ``expired`` and ``shed``: how many ids; the rest was fresh or does not exist.
    """
    from worker.warming import stale  # stands on this module

    outcome = {"computed": 0, "expired": 0, "shed": 0}
    if context.clock.now() > deadline:
        outcome["expired"] = len(ids)
        count(context.queue, keys.Counter.EXPIRED, len(ids))
        return outcome
    if _users_wait(context.queue):
        outcome["shed"] = len(ids)
        count(context.queue, keys.Counter.SHED, len(ids))
        return outcome
    try:
        context.serving.refresh()  # a job of a gateway that heard of a new model may be ahead of our pulse
        wanted = stale(context.serving, context.cache, kind, ids)
        done = compute_rankings(context.serving, context.cache, kind, wanted)
    except Exception:
        count(context.queue, keys.Counter.FAILED, len(ids))
        raise
    unknown = set(wanted).difference(done)
    with context.queue.pipeline(transaction=False) as pipeline:
        if done:
            # Somebody may have asked meanwhile, and waits.
            pipeline.publish(keys.ANSWERS_CHANNEL, News(RankingEvent.WRITTEN, kind, done).to_text())
            pipeline.hincrby(keys.COUNTERS, keys.Counter.COMPUTED, len(done))
        if unknown:  # of data that were imported before
            pipeline.zrem(keys.ASKED, *(keys.asked(kind, entity_id) for entity_id in unknown))
        execute_tolerantly(pipeline, context.queue)
    outcome["computed"] = len(done)
    return outcome


def _users_wait(connection: redis.Redis) -> bool:
    """Tell whether more questions of users are queued than the serving workers take at once."""
    with connection.pipeline(transaction=False) as pipeline:
        pipeline.llen(open_queue(QueueName.SERVE, connection).key)
        pipeline.scard(keys.workers(QueueName.SERVE))
        waiting, workers = pipeline.execute()
    return bool(waiting > _SHED_ABOVE * max(1, workers))


def compute_rankings(serving: Serving, cache: redis.Redis, kind: Kind, ids: Sequence[int]) -> list[int]:
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

    Returns
    -------
    list of int
        Those that exist, in the same order.
    """
    if not ids:
        return []
    owners, _ = read_arguments([(kind, entity_id) for entity_id in ids])
    # Before the ratings are read, so that a change meanwhile shows.
    counts = cache.register_script(READ_RANKINGS)(owners, [keys.CHANGES_FIELD] * (len(ids) + 1))[::2]
    done, _ = _rank(serving, kind, ids, [int(changes or 0) for changes in counts])
    write_rankings(cache, kind, *done)
    return done.ids


def write_rankings(
    cache: redis.Redis | Pipeline, kind: Kind, ids: Sequence[int], rankings: Sequence[Ranking]
) -> None:
    """Write rankings to the cache, with one command."""
    if not ids:
        return
    arguments: list[str | bytes | int] = [int(keys.ANSWER_TTL.total_seconds())]
    for entity_id, ranking in zip(ids, rankings, strict=True):
        arguments += [keys.ranking(kind, entity_id)[1], ranking.to_bytes()]
    owners = [keys.ranking(kind, entity_id)[0] for entity_id in ids]
    cache.eval(_WRITE, len(owners), *owners, *arguments)


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
    from worker.training.pipeline import train as train_and_publish  # heavy: only the forked child pays

    settings = load(WorkerSettings)
    try:
        config = parse_config(algorithm, parameters)
        manifest = train_and_publish(
            open_database(settings.database),
            ArtifactStore(settings.models),
            config,
            keep=settings.keep_versions,
            # What was accepted is done: somebody trains by hand, or what a killed trainer left behind does.
            wait=True,
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
        # Hours of training must not end because nobody could be told how far it is.
        with contextlib.suppress(redis.RedisError):
            self._job.save_meta()  # type: ignore[no-untyped-call]
