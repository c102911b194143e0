"""HTTP/1.1 in which an answer from memory never becomes a request.

An ASGI application costs a task, a scope and several dictionaries for each request before it can look at the
path. Here the path is looked up as soon as the parser has it, and what is in memory is written to the
connection at once: twice as fast as the smallest ASGI application, and six times a FastAPI route (``movierec
bench serving``). Everything else takes uvicorn's normal way.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway import paths
from gateway.joined_writes import JoinedWrites
from gateway.memory import Answer, AnswerMemory, accepts_gzip
from gateway.overload import Door
from gateway.problems import QueueFull
from gateway.request_id import request_id

_ELSEWHERE = frozenset({b"origin", b"content-length", b"transfer-encoding", b"expect", b"range", b"upgrade"})
"""Requests with one of these headers need more than an answer: CORS, or care with a body."""


def _busy() -> bytes:
    response = QueueFull("More is asked than can be answered in time; try again soon.").response()
    fields = b"".join(b"%b: %b\r\n" % field for field in response.raw_headers)
    template = b"HTTP/1.1 503 Service Unavailable\r\n%%b%bx-request-id: %%b\r\n\r\n%b"
    return template % (fields, bytes(response.body))


_BUSY = _busy()


class MemoryProtocol(HttpToolsProtocol):
    """A connection, answered from :class:`gateway.memory.AnswerMemory` where possible.

    The memory is that in the application's lifespan state under ``memory``; ``door`` there tells when to
    turn questions away.
    """

    _answered = False
    _default_headers: tuple[Any, bytes] = (None, b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._joined = JoinedWrites(transport)
        super().connection_made(cast(asyncio.Transport, self._joined))

    def on_headers_complete(self) -> None:
        """Answer at once, or hand the request on."""
        self._answered = self._answer()
        if not self._answered:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, which an answered request does not have."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._answered:
            super().on_message_complete()

    def _answer(self) -> bool:
        memory: AnswerMemory = self.app_state["memory"]
        path = self.url.rstrip(b"/")
        answer = memory.get(path)
        if answer is None and not self._turns_away(path):
            return False
        if (
            self.parser.get_method() != b"GET"
            or not self.parser.should_keep_alive()
            or self.flow.write_paused
            or (self.cycle is not None and not self.cycle.response_complete)
        ):
            return False
        given_id = if_none_match = None
        compressed = False
        for name, value in self.headers:
            if name in _ELSEWHERE:
                return False
            if name == b"accept-encoding":
                compressed = accepts_gzip(value)
            elif name == b"if-none-match":
                if_none_match = value
            elif name == b"x-request-id":
                given_id = value
        if answer is None:
            self.app_state["door"].turned_away += 1
            self._joined.write_now(_BUSY % (self._default(), request_id(given_id)))
        else:
            self._write(answer, compressed, if_none_match, request_id(given_id))
        self.on_response_complete()
        return True

    def _turns_away(self, path: bytes) -> bool:
        door: Door = self.app_state["door"]
        question = paths.question(path)
        return question is not None and door.turns_away(question)

    def _write(self, answer: Answer, compressed: bool, if_none_match: bytes | None, own_id: bytes) -> None:
        body = answer.compressed if compressed else None
        encoding = b"content-encoding: gzip\r\n" if body is not None else b""
        tag = answer.tag(compressed=body is not None)
        if if_none_match is not None and answer.matches(if_none_match):
            template = b"HTTP/1.1 304 Not Modified\r\n%b%betag: %b\r\nx-request-id: %b\r\n\r\n"
            self._joined.write_now(template % (self._default(), answer.head, tag, own_id))
            return
        body = answer.body if body is None else body
        self._joined.write_now(
            b"HTTP/1.1 200 OK\r\n%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"etag: %b\r\nx-request-id: %b\r\n\r\n%b"
            % (self._default(), answer.head, encoding, len(body), tag, own_id, body)
        )

    def _default(self) -> bytes:
        """Return the server's own headers; uvicorn makes a new list of them every second, for the date."""
        headers = self.server_state.default_headers
        if self._default_headers[0] is not headers:
            encoded = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._default_headers = (headers, encoded)
        return self._default_headers[1]
