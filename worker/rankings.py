"""Rankings that a worker computes: which are stale, computing them, and writing them to the cache."""

from collections.abc import Sequence

import redis

from shared.contract.question import Question
from shared.rankings.ranking import Ranking
from shared.rankings.store import read_changes, read_rankings, write_rankings
from worker.serving import Serving


def rank_questions(
    serving: Serving, questions: Sequence[Question], changes: Sequence[int]
) -> tuple[dict[Question, Ranking], list[Question]]:
    """Compute rankings, and tell which questions have none.

    Parameters
    ----------
    serving : Serving
        With a model.
    questions : sequence of Question
        Of one kind.
    changes : sequence of int
        How often the ratings behind each question had changed before they are read here.

    Returns
    -------
    dict
        The rankings, each with its count of changes.
    list of Question
        Those about users who have rated nothing, and movies that there are not.
    """
    done, unknown = dict[Question, Ranking](), list[Question]()
    for question, ranking, own_changes in zip(questions, serving.rank(questions), changes, strict=True):
        if ranking is None:
            unknown.append(question)
        else:
            done[question] = ranking._replace(changes=own_changes)
    return done, unknown


def compute_rankings(serving: Serving, cache: redis.Redis, questions: Sequence[Question]) -> list[Question]:
    """Compute rankings and write them to the cache.

    Parameters
    ----------
    serving : Serving
        With a model.
    cache : redis.Redis
        Of the rankings.
    questions : sequence of Question
        Of one kind.

    Returns
    -------
    list of Question
        Those that have an answer, in the same order.
    """
    if not questions:
        return []
    changes = read_changes(cache, questions)  # before the ratings are read, so that a change meanwhile shows
    done, _ = rank_questions(serving, questions, changes)
    write_rankings(cache, done.items())
    return list(done)


def stale(serving: Serving, cache: redis.Redis, questions: Sequence[Question]) -> list[Question]:
    """Return the questions whose ranking has to be computed, in the given order.

    Fresh is what the model in memory computed, from the data that is in the database, after the last change
    of the user's ratings.

    Parameters
    ----------
    serving : Serving
        With a model.
    cache : redis.Redis
        Of the rankings.
    questions : sequence of Question
    """
    versions = () if serving.version is None else (serving.version,)
    fingerprint = serving.data_fingerprint()
    found = zip(questions, read_rankings(cache, questions), strict=True)
    return [question for question, cached in found if not cached.is_fresh(versions, fingerprint)]
