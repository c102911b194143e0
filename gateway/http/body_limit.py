"""The largest body of a request, one rule for connections and middleware.

The connections of the fast path refuse what is larger before they hold it. The middleware refuses it before a
route answers, and is all that there is without the fast path.
"""

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from gateway.http.problems import BodyTooLarge

MAX_BODY_BYTES = 64 * 1024


def body_too_large() -> BodyTooLarge:
    """Return the problem that a larger body is refused with."""
    return BodyTooLarge(f"A body may have {MAX_BODY_BYTES:,} bytes; this one has more.")


async def limited_body(headers: Headers, receive: Receive) -> Receive:
    """Return a function that the body of a request can be received from.

    Parameters
    ----------
    headers : Headers
        Of the request.
    receive : Receive
        Where its body comes from. A body of undeclared length is read to its end here.

    Raises
    ------
    BodyTooLarge
        If it is larger than allowed.
    """
    length = headers.get("content-length")
    if length is not None:
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise body_too_large()
        return receive
    return await _read_whole(receive) if "transfer-encoding" in headers else receive


async def _read_whole(receive: Receive) -> Receive:
    """Read a body of undeclared length, and return a function that gives it again."""
    messages: list[Message] = []
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise body_too_large()
        more = message.get("more_body", False)
    replay = iter(messages)

    async def again() -> Message:
        return next(replay, None) or await receive()

    return again
