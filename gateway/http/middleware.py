"""What happens to every request: its id, its log line, its size limit, prefix, both slash forms, HEAD."""

import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http import access_log
from gateway.http.path_prefix import Prefix, without_prefix
from gateway.http.problems import BodyTooLarge, PreflightRefused, problem_of
from gateway.http.request_id import request_id

MAX_BODY_BYTES = 64 * 1024


class RequestContext:
    """Gives a request its id, which every log line and the response carry, and logs how it ended.

    A trailing slash is dropped, so that both forms are the same request, and HEAD is answered like GET
    without the body. The path below which clients see us is in the scope's ``root_path``, and in its
    ``path``, whether or not a proxy left it there.
    """

    def __init__(self, app: ASGIApp, prefix: Prefix) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id")
        own_id = request_id(None if given is None else given.encode()).decode()
        method, path = scope["method"], scope["path"]
        prefix = self._prefix.of(scope["headers"])
        own_path = without_prefix(path, prefix).rstrip("/") or "/"
        if prefix + own_path != path:
            scope = {**scope, "path": prefix + own_path, "raw_path": None}
        if prefix:
            scope = {**scope, "root_path": prefix}
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = own_id
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=own_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            access_log.write(own_id, method, path, status, started)


class Cors(CORSMiddleware):
    """Starlette's, which refuses in plain text, with our form of errors."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer what a browser asks before it asks."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        reason = bytes(response.body).decode().removeprefix("Disallowed CORS ")
        return PreflightRefused(f"Not allowed from elsewhere: {reason}.", headers).response()


class Shield:
    """Refuses bodies that are too large, and turns what nobody expected into a 500.

    Starlette does the latter outside of all other middleware, where the answer gets neither an id nor the
    headers without which a browser hides it from the page that asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            body = await _checked_body(Headers(scope=scope), receive)
            if body is None:
                raise BodyTooLarge(f"A body may have {MAX_BODY_BYTES:,} bytes; this one has more.")
            await self._app(scope, body, note_start)
        except Exception as error:
            if started:
                raise
            await problem_of(error).response()(scope, receive, send)


async def _checked_body(headers: Headers, receive: Receive) -> Receive | None:
    """Return what the body can be read from, None if it is too large."""
    length = headers.get("content-length")
    if length is not None:
        return receive if length.isdigit() and int(length) <= MAX_BODY_BYTES else None
    return await _read_whole(receive) if "transfer-encoding" in headers else receive


async def _read_whole(receive: Receive) -> Receive | None:
    """Read a body of undeclared length and return it for reading again, None if it is too large."""
    messages: list[Message] = []
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    replay = iter(messages)

    async def again() -> Message:
        return next(replay, None) or await receive()

    return again
