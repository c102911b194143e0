"""Middleware around every route: request ids, log lines, the body limit, prefixes, slashes, HEAD, CORS."""

import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http import access_log
from gateway.http.body_limit import limited_body
from gateway.http.error_handlers import problem_of
from gateway.http.path_prefix import Prefix, without_prefix
from gateway.http.problems import PreflightRefused
from gateway.http.request_id import request_id

EXPOSED_HEADERS = [
    "ETag",
    "Location",
    "Retry-After",
    "X-Cache",
    "X-Data-Version",
    "X-Model-Outdated",
    "X-Model-Version",
    "X-Request-ID",
]
"""Headers of answers that pages from elsewhere may read."""


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
    """Starlette's CORS middleware, but with problem documents instead of plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        reason = bytes(response.body).decode().removeprefix("Disallowed CORS ")
        return PreflightRefused(f"Not allowed from elsewhere: {reason}.", headers).response()


class ErrorBoundary:
    """Refuses bodies that are too large, and answers unexpected exceptions with a 500.

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
            body = await limited_body(Headers(scope=scope), receive)
            await self._app(scope, body, note_start)
        except Exception as error:
            if started:
                raise
            await problem_of(error).response()(scope, receive, send)
