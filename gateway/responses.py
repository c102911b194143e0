"""What all answers have in common: parameters in, headers out."""

import hashlib
import re
from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BeforeValidator

from shared.contract import MAX_ID, MIN_ID

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


def json_answer(
    request: Request, body: bytes, *, version: str | None, cached: bool | None = None
) -> Response:
    """Send JSON bytes, or 304 if the client has them already.

    Parameters
    ----------
    request : Request
        Whose ``If-None-Match`` counts.
    body : bytes
        JSON.
    version : str or None
        For ``X-Model-Version``.
    cached : bool or None
        For ``X-Cache``; None for answers that no cache is asked for.
    """
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if version is not None:
        headers["X-Model-Version"] = version
    if cached is not None:
        headers["X-Cache"] = "hit" if cached else "miss"
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
