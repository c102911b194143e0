"""What the routes of all rankings have in common."""

from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel

from gateway.context import GatewayContext
from gateway.http import urls
from gateway.http.problems import (
    ComputationFailed,
    DatabaseUnavailable,
    NoWorkers,
    QueueFull,
    QueueUnreachable,
    documented,
)
from gateway.http.responses import header, send
from gateway.rankings.dispatcher import StillWorkingError
from gateway.rankings.service import accepted_ranking, answer_ranking
from gateway.rankings.view import RankingView
from shared.contract.question import Question

View = Annotated[RankingView, Query()]

PROBLEMS = documented(NoWorkers, QueueFull, QueueUnreachable, DatabaseUnavailable, ComputationFailed)


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
                "example": {"job": urls.job("6f1d..."), "result": f"{urls.API}/users/1/suggested_movies"}
            }
        },
    }
}


async def ranking_response(
    request: Request, context: GatewayContext, question: Question, view: RankingView
) -> Response:
    """Answer with a ranking, or 202 if it is not ready in time or the client does not want to wait."""
    try:
        answer, cached = await answer_ranking(context, question, wait=_waits(request), view=view)
    except StillWorkingError as pending:
        return accepted_ranking(question, pending.job_id, request.scope["root_path"])
    return send(request, answer, cached=cached)


def _waits(request: Request) -> bool:
    """Tell whether a client wants the answer now, or rather a 202 at once (RFC 7240, 4.1)."""
    preferences = header(request, "Prefer").lower().replace(" ", "")
    return "respond-async" not in preferences.split(",")
