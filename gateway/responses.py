"""What all answers have in common: parameters in, headers out."""

import re
from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BeforeValidator

from gateway.memory import Answer, accepts_gzip
from shared.contract import MAX_ID, MIN_ID

PRIVATE = "private, no-cache"
"""For what concerns a user: nobody on the way keeps it, and a browser asks each time, mostly for a 304."""

PUBLIC = "public, max-age=60"
"""For movies, which change with an import or a new model: anybody on the way may keep it for a minute."""

_CANONICAL_ID = re.compile(r"[0-9]{1,10}")


def _parse_id(value: object) -> object:
    """Accept plain digits only: ``int`` would also take ``+1``, ``1_000`` and other scripts' digits."""
    if isinstance(value, str) and not _CANONICAL_ID.fullmatch(value):
        raise ValueError(f"an id is a whole number from {MIN_ID} to {MAX_ID}")
    return value


def _id(description: str) -> object:
    return Path(ge=MIN_ID, le=MAX_ID, description=description, examples=[1])


UserId = Annotated[int, BeforeValidator(_parse_id), _id("MovieLens userId.")]
MovieId = Annotated[int, BeforeValidator(_parse_id), _id("MovieLens movieId.")]


def send(request: Request, answer: Answer, *, cached: bool | None = None) -> Response:
    """Send an answer, or 304 if the client has it already.

    Parameters
    ----------
    request : Request
        Whose ``If-None-Match`` and ``Accept-Encoding`` count.
    answer : Answer
        The answer.
    cached : bool or None
        For ``X-Cache``; None for answers that no cache is asked for.
    """
    body = answer.body
    headers = {"Cache-Control": answer.cache_control, "Vary": "Accept-Encoding", **answer.provenance}
    if cached is not None:
        headers["X-Cache"] = "hit" if cached else "miss"
    compressed = (
        answer.compressed if accepts_gzip(request.headers.get("Accept-Encoding", "").encode()) else None
    )
    if compressed is not None:
        body = compressed
        headers["Content-Encoding"] = "gzip"
    headers["ETag"] = answer.tag(compressed=compressed is not None).decode()
    known = request.headers.get("If-None-Match")
    if known is not None and answer.matches(known.encode()):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def json_answer(request: Request, body: bytes, *, version: str | None) -> Response:
    """Send JSON bytes that are not kept."""
    return send(request, Answer(body, version or "", PRIVATE))
