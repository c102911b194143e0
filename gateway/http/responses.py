"""Parameters and headers that all routes share."""

import re
from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BeforeValidator, Field

from gateway.rankings.answer_cache import Answer, accepts_gzip
from shared.contract.kinds import MAX_ID, MIN_ID

PRIVATE = "private, no-cache"
"""For answers about a user: no proxy keeps them, and a browser asks each time, mostly for a 304."""

PUBLIC = "public, max-age=60"
"""For movies, which change with an import or a new model: proxies may keep it for a minute."""

_CANONICAL_ID = re.compile(r"[0-9]{1,10}")


def _parse_id(value: object) -> object:
    """Accept plain digits only: ``int`` would also take ``+1``, ``1_000`` and other scripts' digits."""
    if isinstance(value, str) and not _CANONICAL_ID.fullmatch(value):
        raise ValueError(f"an id is a whole number from {MIN_ID} to {MAX_ID}")
    return value


# The bounds stand before the validator: behind it, pydantic describes them as "ge" and "le", which a JSON
# schema does not know.
_Id = Annotated[int, Field(ge=MIN_ID, le=MAX_ID), BeforeValidator(_parse_id)]
UserId = Annotated[_Id, Path(description="MovieLens userId.", examples=[1])]
MovieId = Annotated[_Id, Path(description="MovieLens movieId.", examples=[1])]


def header(request: Request, name: str) -> str:
    """Return a list that may stand in several lines (RFC 9110, 5.3), empty if there is none."""
    return ", ".join(request.headers.getlist(name))


def send(
    request: Request, answer: Answer, *, cached: bool | None = None, media_type: str = "application/json"
) -> Response:
    """Send an answer, or 304 if the client has it already.

    Parameters
    ----------
    request : Request
        Whose ``If-None-Match`` and ``Accept-Encoding`` count.
    answer : Answer
        The answer.
    cached : bool or None
        For ``X-Cache``; None for answers that no cache is asked for.
    media_type : str
        Of the body.
    """
    body = answer.body
    headers = {"Cache-Control": answer.cache_control, "Vary": "Accept-Encoding", **answer.provenance}
    if cached is not None:
        headers["X-Cache"] = "hit" if cached else "miss"
    compressed = answer.compressed if accepts_gzip(header(request, "Accept-Encoding").encode()) else None
    if compressed is not None:
        body = compressed
        headers["Content-Encoding"] = "gzip"
    headers["ETag"] = answer.tag(compressed=compressed is not None).decode()
    if answer.matches(header(request, "If-None-Match").encode()):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def json_answer(request: Request, body: bytes, *, version: str | None) -> Response:
    """Send JSON bytes that are not kept."""
    return send(request, Answer(body, version or "", PRIVATE))
