"""Answers to the questions that need workers, in the form in which they are sent and kept."""

from gateway.catalogue.movies import Catalogue
from gateway.context import State
from gateway.http import rendering, urls
from gateway.http.problems import UnknownMovie
from gateway.http.responses import PRIVATE, PUBLIC
from gateway.rankings.answer_cache import Answer
from gateway.rankings.dispatcher import StillWorkingError
from shared.contract import keys
from shared.contract.kinds import Kind
from shared.contract.question import Question


async def answer_ranking(state: State, question: Question, *, wait: bool) -> tuple[Answer, bool]:
    """Return the answer to a question and whether some cache had it.

    Parameters
    ----------
    state : State
        Of this gateway.
    question : Question
        About an existing movie, or any user.
    wait : bool
        Whether to wait for what has to be computed.

    Raises
    ------
    StillWorkingError
        If it is not ready within the wait budget.
    Problem
        If it will not be.
    """
    kind, entity_id = question
    path, member = urls.ranking(kind, entity_id), keys.asked(kind, entity_id)
    kept = state.memory.get(path)
    if kept is not None:
        return kept, True

    async def read(catalogue: Catalogue) -> tuple[Answer, bool] | None:
        # Before anything is read: what changes from here on must not be kept.
        token = state.memory.token(entity_id)
        if kind is Kind.SIMILAR and entity_id not in catalogue:
            raise UnknownMovie(entity_id)
        try:
            found = await state.dispatcher.ask(question, catalogue.fingerprint, wait=wait)
        except StillWorkingError:
            state.popularity.count(member)
            raise
        ranking = found.ranking
        if ranking.fingerprint != catalogue.fingerprint:
            return None
        # Only now that it is known to exist: what is counted is also computed ahead.
        state.popularity.count(member)
        answer = Answer(
            rendering.ranking(kind, ranking, catalogue),
            ranking.version,
            PRIVATE if kind is Kind.SUGGESTED else PUBLIC,
            member,
            data=catalogue.fingerprint,
            outdated=ranking.outdated,
        )
        if found.fresh:
            state.memory.put(path, entity_id, token, answer)
        return answer, found.cached

    return await state.of_one_data_set(read)
