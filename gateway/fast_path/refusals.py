"""Refuses what a connection cannot serve, with a problem document, and closes so that it can be read."""

import asyncio
from typing import Any, cast

import structlog
from fastapi import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.fast_path.joined_writes import JoinedWrites
from gateway.fast_path.limits import Limits
from gateway.fast_path.wire import encoded, response_bytes
from gateway.http.middleware import EXPOSED_HEADERS
from gateway.http.problems import Problem
from gateway.http.request_id import request_id

log = structlog.get_logger(__name__)

# What the next byte belongs to.
NOTHING, HEAD, BODY = range(3)


class _Flow(FlowControl):
    """Resumes reading only when all that was read has been parsed."""

    held_back = False

    def resume_reading(self) -> None:
        if not self.held_back:
            super().resume_reading()


class RefusingConnection(HttpToolsProtocol):
    """A connection with limits, that can end with a refusal; the state that its subclasses share.

    The application's lifespan state has the :class:`gateway.fast_path.limits.Limits` under ``limits``.
    """

    check_at = 0
    _part = NOTHING
    _since = 0
    """Tick at which the head or body that is being read began."""
    _size = -1
    """Bytes of it so far, in whole reads; -1 for a head that came with the last read."""
    _content = 0
    """Bytes of a body, without what frames its chunks."""
    _unparsed = b""
    _parsed = 0
    """Of the above."""
    _scheduled = False
    _skipped = False
    """Whether the request that is being parsed is kept from uvicorn."""
    _half_closed = False
    _refusal: Problem | None = None
    """Of what was sent after a request that is not answered yet."""
    _taken = -1
    """Bytes of answers that the client had taken when that was looked at last."""
    _encoded_headers: tuple[Any, bytes] = (None, b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._joined = JoinedWrites(transport)
        self._limits: Limits = self.app_state["limits"]
        self.check_at = self._limits.now + self._limits.header
        super().connection_made(cast(asyncio.Transport, self._joined))
        self._flow = _Flow(self.transport)
        self.flow = self._flow

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._joined.lost()
        self._unparsed, self._parsed = b"", 0
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def write_response(self, response: Response, own_id: bytes, *, keep_alive: bool) -> None:
        """Write a response that did not come from the application."""
        self.transport.write(response_bytes(response, self.server_headers(), own_id, keep_alive=keep_alive))

    def server_headers(self) -> bytes:
        """Return the server's own headers; uvicorn makes a new list of them every second, for the date."""
        headers = self.server_state.default_headers
        if self._encoded_headers[0] is not headers:
            self._encoded_headers = (headers, encoded(headers))
        return self._encoded_headers[1]

    def _refuse(self, problem: Problem) -> None:
        """Send a problem document, then close."""
        cycle = self.cycle
        fields = self.headers
        answered = False
        if self._is_answering():
            if self._part != BODY or self.pipeline:
                self._refusal = problem  # with what comes later: the answer first
                return
            answered = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        if self._part == BODY:
            fields = list(self.scope["headers"])
            answered |= cycle.response_complete
        given = dict(reversed(fields))  # of several lines the first
        own_id = request_id(given.get(b"x-request-id"))
        log.warning(
            "request refused", request_id=own_id.decode(), status=problem.status, reason=problem.detail
        )
        self._refusal = None
        if not answered:
            response = problem.response()
            origin = given.get(b"origin", b"").decode("latin-1")
            if origin and not self._limits.origins.isdisjoint({origin, "*"}):
                allowed = "*" if "*" in self._limits.origins else origin
                response.headers["Access-Control-Allow-Origin"] = allowed
                response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
            self.write_response(response, own_id, keep_alive=False)
        self._joined.end()
        self._linger()

    def _linger(self) -> None:
        """Discard what the client still sends, for a while: to close at once might destroy its answer."""
        self._unparsed, self._parsed = b"", 0
        self.check_at = self._limits.now + self._limits.linger
        if not self._half_closed:
            self._flow.held_back = False
            self._flow.resume_reading()
