"""Answers the questions that somebody waits for."""

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.queue.damage import execute_tolerantly
from shared.rankings.claims import free_claims, settle_claims
from shared.rankings.ranking import Ranking
from shared.rankings.store import write_rankings
from worker.jobs.context import ServingContext
from worker.rankings import rank_questions


def answer(
    context: ServingContext,
    kind: Kind,
    ids: list[int],
    deadline: float,
    changes: list[int] | None = None,
) -> dict[str, int]:
    """Compute rankings, write them to the cache and tell every gateway.

    A job may run more than once: it overwrites a ranking with the same one.

    Parameters
    ----------
    context : ServingContext
    kind : Kind
        What to rank.
    ids : list of int
        Users or movies.
    deadline : float
        Redis' time after which nobody waits, so that nothing is computed.
    changes : list of int, optional
        How often the ratings of each user had changed when the gateway asked. It read that before the
        ratings are read here, so that a change meanwhile shows.

    Returns
    -------
    dict
        ``computed`` and ``expired``: how many ids; the rest does not exist.
    """
    questions = [Question(kind, subject) for subject in ids]
    if context.clock.now() > deadline:
        with context.queue.pipeline(transaction=False) as pipeline:
            free_claims(pipeline, questions)
            pipeline.hincrby(keys.COUNTERS, keys.Counter.EXPIRED, len(ids))
            execute_tolerantly(pipeline, context.queue)
        return {"computed": 0, "expired": len(ids)}
    done, unknown = dict[Question, Ranking](), list[Question]()
    event, counter = RankingEvent.FAILED, keys.Counter.FAILED
    try:
        done, unknown = rank_questions(context.serving, questions, changes or [0] * len(ids))
        if context.cache is not context.queue:
            write_rankings(context.cache, done.items())
        event, counter = RankingEvent.WRITTEN, keys.Counter.COMPUTED
    finally:
        # Only now, so that a gateway that hears of it finds it; in one step, so that a claim means that news
        # will come.
        with context.queue.pipeline(transaction=True) as pipeline:
            if context.cache is context.queue:
                write_rankings(pipeline, done.items())
            written = list(done) if event is RankingEvent.WRITTEN else []
            told = questions if event is RankingEvent.FAILED else written
            if told:
                pipeline.publish(keys.ANSWERS_CHANNEL, News.of(event, told).to_text())
                pipeline.hincrby(keys.COUNTERS, counter, len(told))
            settle_claims(pipeline, written)
            if unknown:
                pipeline.publish(keys.ANSWERS_CHANNEL, News.of(RankingEvent.UNKNOWN, unknown).to_text())
            free_claims(pipeline, unknown if event is RankingEvent.WRITTEN else questions)
            execute_tolerantly(pipeline, context.queue)
    return {"computed": len(done), "expired": 0}
