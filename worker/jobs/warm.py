"""Answers questions that somebody is likely to ask."""

import redis

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.damage import count, execute_tolerantly
from shared.queue.rq_keys import queue_key
from worker.jobs.context import ServingContext
from worker.rankings import compute_rankings, stale

_SHED_ABOVE = 2
"""Questions of users that may wait, for each serving worker, before warm jobs are dropped: one that is being
handed over and one behind it are no queue."""


def answer_ahead(
    context: ServingContext,
    kind: Kind,
    ids: list[int],
    deadline: float,
    changes: list[int] | None = None,
) -> dict[str, int]:
    """Compute what is likely to be asked, with the newest model, unless users wait for something else.

    Nobody waits for these answers, so a failure is not told, and claims, which belong to questions of users,
    are left alone. What is in the cache and fresh is not computed again, and changes are counted here.

    Returns
    -------
    dict
        ``computed``, ``expired`` and ``shed``: how many ids; the rest was fresh or does not exist.
    """
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
        # A gateway may have heard of a new model, and sent this job, before our thread has loaded it.
        context.serving.refresh()
        wanted = stale(context.serving, context.cache, [Question(kind, subject) for subject in ids])
        done = compute_rankings(context.serving, context.cache, wanted)
    except Exception:
        count(context.queue, keys.Counter.FAILED, len(ids))
        raise
    unknown = set(wanted).difference(done)
    with context.queue.pipeline(transaction=False) as pipeline:
        if done:
            # Somebody may have asked meanwhile, and waits.
            pipeline.publish(keys.ANSWERS_CHANNEL, News.of(RankingEvent.WRITTEN, done).to_text())
            pipeline.hincrby(keys.COUNTERS, keys.Counter.COMPUTED, len(done))
        if unknown:  # of data that were imported before
            pipeline.zrem(keys.ASKED, *(keys.asked(*question) for question in unknown))
        execute_tolerantly(pipeline, context.queue)
    outcome["computed"] = len(done)
    return outcome


def _users_wait(connection: redis.Redis) -> bool:
    """Tell whether more questions of users are queued than the serving workers take at once."""
    with connection.pipeline(transaction=False) as pipeline:
        pipeline.llen(queue_key(QueueName.SERVE))
        pipeline.scard(keys.workers(QueueName.SERVE))
        waiting, workers = pipeline.execute()
    return bool(waiting > _SHED_ABOVE * max(1, workers))
