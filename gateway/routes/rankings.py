"""What both kinds of rankings do alike: ask, wait, render."""

from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

from gateway import paths, render
from gateway.dispatch import StillWorkingError
from gateway.memory import Answer
from gateway.problems import ComputationFailed, NoWorkers, QueueFull, QueueUnreachable, documented
from gateway.ranking_cache import Question
from gateway.responses import PRIVATE, PUBLIC, send
from gateway.state import State
from shared import keys
from shared.contract import Kind

PROBLEMS = documented(NoWorkers, QueueFull, QueueUnreachable, ComputationFailed)


class Accepted(BaseModel):
    """The answer is being computed; ask again."""

    job: str
    result: str


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Accepted,
        "description": "Not ready yet. `Location` is the job, `Retry-After` says when to ask again.",
        "content": {
            "application/json": {
                "example": {"job": "/api/v1/jobs/6f1d...", "result": "/api/v1/users/1/suggested_movies"}
            }
        },
    }
}


async def answer_ranking(request: Request, state: State, question: Question) -> Response:
    """Answer with a ranking, or 202 if it is not ready in time or the client does not want to wait."""
    kind, entity_id = question
    path, member = paths.ranking(kind, entity_id), keys.asked(kind, entity_id)
    kept = state.memory.get(path)
    if kept is not None:
        return send(request, kept, cached=True)
    state.popularity.count(member)
    # Before anything is read: what changes from here on must not be kept.
    token, catalogue = state.memory.token(entity_id), state.catalogue
    try:
        found = await state.dispatcher.ask(question, catalogue.revision, wait=waits(request))
    except StillWorkingError as pending:
        job = f"{paths.API}/jobs/{pending.job_id}"
        headers = {"Location": job, "Retry-After": "1"}
        body = orjson.dumps({"job": job, "result": path.decode()})
        return Response(body, 202, headers, "application/json")
    answer = Answer(
        render.ranking(kind, found.ranking, catalogue),
        found.ranking.version,
        PRIVATE if kind is Kind.SUGGESTED else PUBLIC,
        member,
    )
    if found.fresh:
        state.memory.put(path, entity_id, token, answer)
    return send(request, answer, cached=found.cached)


def waits(request: Request) -> bool:
    """Tell whether a client wants the answer now, or rather a 202 at once (RFC 7240, 4.1)."""
    preferences = request.headers.get("Prefer", "").lower().replace(" ", "")
    return "respond-async" not in preferences.split(",")
