"""Answers to the questions that need workers, in the form in which they are sent and kept."""

from gateway import paths, render
from gateway.memory import Answer
from gateway.ranking_cache import Question
from gateway.responses import PRIVATE, PUBLIC
from gateway.state import State
from shared import keys
from shared.contract import Kind


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
    path, member = paths.ranking(kind, entity_id), keys.asked(kind, entity_id)
    kept = state.memory.get(path)
    if kept is not None:
        return kept, True
    state.popularity.count(member)
    # Before anything is read: what changes from here on must not be kept.
    token, catalogue = state.memory.token(entity_id), state.catalogue
    found = await state.dispatcher.ask(question, catalogue.revision, wait=wait)
    answer = Answer(
        render.ranking(kind, found.ranking, catalogue),
        found.ranking.version,
        PRIVATE if kind is Kind.SUGGESTED else PUBLIC,
        member,
    )
    if found.fresh:
        state.memory.put(path, entity_id, token, answer)
    return answer, found.cached
