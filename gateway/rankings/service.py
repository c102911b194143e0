"""Makes answers out of rankings, ready to be sent and kept."""

from fastapi import Response

from gateway.catalogue.movies import Catalogue
from gateway.context import GatewayContext
from gateway.http import rendering, urls
from gateway.http.accepted import accepted
from gateway.rankings.answer_cache import Answer
from gateway.rankings.dispatcher import StillWorkingError
from gateway.rankings.kinds import ANSWERS
from gateway.rankings.view import WHOLE, RankingView
from shared.contract import keys
from shared.contract.question import Question
from shared.rankings.ranking import Ranking


async def answer_ranking(
    context: GatewayContext, question: Question, *, wait: bool, view: RankingView = WHOLE
) -> tuple[Answer, bool]:
    """Return the answer to a question and whether some cache had it.

    Parameters
    ----------
    context : GatewayContext
        Of this gateway.
    question : Question
        What is asked.
    wait : bool
        Whether to wait for what has to be computed.
    view : RankingView
        What to show of it.

    Raises
    ------
    StillWorkingError
        If it is not ready within the wait budget.
    Problem
        If it will not be.
    """
    subject = question.subject
    path, member = urls.ranking(question), keys.asked(*question)
    whole = view is WHOLE or view == WHOLE  # in this order: the comparison of models takes a microsecond
    kept = context.answer_cache.get(path) if whole else None
    if kept is not None:
        return kept, True

    async def read(catalogue: Catalogue) -> tuple[Answer, bool] | None:
        # Before anything is read: what changes from here on must not be kept.
        token = context.answer_cache.token(subject)
        try:
            found = await context.dispatcher.ask(question, catalogue.fingerprint, wait=wait)
        except StillWorkingError:
            context.popularity.count(member)
            raise
        ranking = found.ranking
        if ranking.fingerprint != catalogue.fingerprint:
            return None
        # Only now that it is known to exist: what is counted is also computed ahead.
        context.popularity.count(member)
        answer = _render(question, view.apply(ranking), catalogue, member)
        if found.fresh and whole:
            context.answer_cache.put(path, subject, token, answer)
        return answer, found.cached

    return await context.of_one_data_set(read)


def _render(question: Question, ranking: Ranking, catalogue: Catalogue, member: str) -> Answer:
    return Answer(
        rendering.ranking(question.kind, ranking, catalogue),
        ranking.version,
        ANSWERS[question.kind].about.cache_control,
        member,
        data=catalogue.fingerprint,
        outdated=ranking.outdated,
    )


def accepted_ranking(question: Question, job_id: str, prefix: str) -> Response:
    """Return the 202 that says which job computes an answer, and where that will be."""
    return accepted(job_id, prefix, others={"result": urls.ranking(question).decode()})
