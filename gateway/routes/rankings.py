"""What both kinds of rankings do alike: ask, wait, render."""

from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

from gateway import render
from gateway.dispatch import Question, StillWorkingError
from gateway.problems import ComputationFailed, NoWorkers, QueueFull, QueueUnreachable, documented
from gateway.responses import json_answer
from gateway.state import State

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
    catalogue = state.catalogue
    preferences = request.headers.get("Prefer", "").lower().replace(" ", "")
    wait = "respond-async" not in preferences.split(",")
    try:
        answer = await state.dispatcher.ask(question, catalogue.revision, wait=wait)
    except StillWorkingError as pending:
        job = f"/api/v1/jobs/{pending.job_id}"
        headers = {"Location": job, "Retry-After": "1"}
        body = orjson.dumps({"job": job, "result": request.url.path})
        return Response(body, 202, headers, "application/json")
    body = render.ranking(question.kind, answer.ranking, catalogue)
    return json_answer(request, body, version=answer.ranking.version, cached=answer.cached)
