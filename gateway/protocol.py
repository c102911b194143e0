"""HTTP/1.1 in which plain questions never become a request of the framework.

An ASGI application costs a scope, a task and several dictionaries for each request before it can look at the
path, and FastAPI several times that. Here the path is looked up as soon as the parser has it. What is in
memory is written to the connection at once: twice as fast as the smallest ASGI application, and five times
a FastAPI route (``movierec bench serving``). A question that needs a ranking from Redis or from a worker, the
other kind of request that there is a lot of, is answered by a task of its own. Everything else takes
uvicorn's normal way to the routes, which say the same (``tests/gateway/test_ways.py``).
"""

import asyncio
import time
from http import HTTPStatus
from typing import Any, cast

from fastapi import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway import access_log, paths
from gateway.answers import answer_ranking
from gateway.dispatch import StillWorkingError
from gateway.joined_writes import JoinedWrites
from gateway.memory import Answer, accepts_gzip
from gateway.problems import QueueFull, problem_of
from gateway.ranking_cache import Question
from gateway.request_id import request_id
from gateway.routes.rankings import accepted
from gateway.state import State
from shared.contract import Kind

_ELSEWHERE = frozenset({b"origin", b"content-length", b"transfer-encoding", b"expect", b"range", b"upgrade"})
"""Requests with one of these headers need more than an answer: CORS, or care with a body."""

_Wishes = tuple[bool, bytes | None, bytes, bool]
"""Whether gzip is accepted, ``If-None-Match``, the request's id, and whether there is a ``Prefer``."""


def _busy() -> bytes:
    response = QueueFull("More is asked than can be answered in time; try again soon.").response()
    fields = b"".join(b"%b: %b\r\n" % field for field in response.raw_headers)
    template = b"HTTP/1.1 503 Service Unavailable\r\n%%b%bx-request-id: %%b\r\n\r\n%b"
    return template % (fields, bytes(response.body))


_BUSY = _busy()


class _Deaf:
    """In place of the event by which an application hears of a body, or that the client has left."""

    def set(self) -> None:
        pass


class _Turn:
    """A question under way, with what uvicorn looks at in a request.

    It lets further requests of the connection wait until ``response_complete``, and a server that ends sets
    ``keep_alive``.
    """

    message_event = _Deaf()

    def __init__(self) -> None:
        self.response_complete = False
        self.keep_alive = True
        self.disconnected = False


class MemoryProtocol(HttpToolsProtocol):
    """A connection, answered without the framework where possible.

    The application's lifespan state has the :class:`gateway.state.State` under ``gateway``.
    """

    _answered = False
    _idle_since: float | None = None
    _default_headers: tuple[Any, bytes] = (None, b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._joined = JoinedWrites(transport)
        self._state: State = self.app_state["gateway"]
        super().connection_made(cast(asyncio.Transport, self._joined))

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request, without the scope that most will not need."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Answer at once, begin to answer, or hand the request on."""
        self._answered = self._answer()
        if not self._answered:
            url, headers, expecting = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expecting
            self.headers.extend(headers)  # the list that the scope has
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, which an answered request does not have."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._answered:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one.

        uvicorn sets a timer for each wait and cancels it with the next request: as long as connections are
        busy, ours only notes when the wait began and lets a timer of the connection look at that.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for too long."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # the end of the response that is under way sets another timer
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_after(left)
        else:
            super().timeout_keep_alive_handler()

    def _answer(self) -> bool:
        path = self.url.rstrip(b"/")
        answer = self._state.memory.get(path)
        question = paths.question(path) if answer is None else None
        if (
            (answer is None and question is None)
            or self.parser.get_method() != b"GET"
            or not self.parser.should_keep_alive()
            or self.flow.write_paused
            or (self.cycle is not None and not self.cycle.response_complete)
        ):
            return False
        wishes = self._wishes()
        if wishes is None:
            return False
        if answer is not None:
            self._write(answer, answer.head, wishes)
            self.on_response_complete()
            return True
        assert question is not None
        return self._ask(question, path, wishes)

    def _wishes(self) -> _Wishes | None:
        """Return what the headers ask for, None if it is more than an answer."""
        given_id = if_none_match = None
        compressed = preferring = False
        for name, value in self.headers:
            if name in _ELSEWHERE:
                return None
            if name == b"accept-encoding":
                compressed = accepts_gzip(value)
            elif name == b"if-none-match":
                if_none_match = value
            elif name == b"x-request-id":
                given_id = value
            elif name == b"prefer":
                preferring = True
        return compressed, if_none_match, request_id(given_id), preferring

    def _ask(self, question: Question, path: bytes, wishes: _Wishes) -> bool:
        door = self._state.door
        if door.turns_away(question):
            door.turned_away += 1
            self._joined.write(_BUSY % (self._default(), wishes[2]))
            self.on_response_complete()
            return True
        preferring = wishes[3]
        if preferring or (question.kind is Kind.SIMILAR and question.entity_id not in self._state.catalogue):
            return False
        turn = _Turn()
        self.cycle = cast(Any, turn)
        task = self.loop.create_task(
            self._take(turn, question, path, wishes, self._state.prefix.of(self.headers))
        )
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        return True

    async def _take(self, turn: _Turn, question: Question, path: bytes, wishes: _Wishes, prefix: str) -> None:
        """Answer a question that memory had no answer to."""
        started = time.perf_counter()
        response: Response | None = None
        cached = False
        try:
            answer, cached = await answer_ranking(self._state, question, wait=True)
        except StillWorkingError as pending:
            response = accepted(question, pending.job_id, prefix)
        except Exception as error:
            response = problem_of(error).response()
        turn.response_complete = True
        if self.transport.is_closing():
            return
        if response is None:
            head = answer.head if cached else answer.missed_head
            status = self._write(answer, head, wishes, turn.keep_alive)
        else:
            status = self._write_response(response, wishes[2], turn.keep_alive)
        if not turn.keep_alive:
            self.transport.close()
        self.on_response_complete()
        usual = response is None
        if usual:
            self._state.tally.add(started, cached=cached)
        if not usual or access_log.tells_all():
            access_log.write(wishes[2].decode(), "GET", path.decode(), status, started, usual=usual)

    def _write(self, answer: Answer, head: bytes, wishes: _Wishes, keep_alive: bool = True) -> int:
        """Write an answer as :func:`gateway.responses.send` would, and return the status."""
        compressed, if_none_match, own_id, _ = wishes
        body = answer.compressed if compressed else None
        encoding = b"content-encoding: gzip\r\n" if body is not None else b""
        tag = answer.tag(compressed=body is not None)
        if if_none_match is not None and answer.matches(if_none_match):
            self._joined.write(
                b"HTTP/1.1 304 Not Modified\r\n%b%b%betag: %b\r\nx-request-id: %b\r\n\r\n"
                % (self._default(), _connection(keep_alive), head, tag, own_id)
            )
            return 304
        body = answer.body if body is None else body
        self._joined.write(
            b"HTTP/1.1 200 OK\r\n%b%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"etag: %b\r\nx-request-id: %b\r\n\r\n%b"
            % (
                self._default(),
                _connection(keep_alive),
                head,
                encoding,
                len(body),
                tag,
                own_id,
                body,
            )
        )
        return 200

    def _write_response(self, response: Response, own_id: bytes, keep_alive: bool) -> int:
        status = response.status_code
        self._joined.write(
            b"HTTP/1.1 %d %b\r\n%b%b%bx-request-id: %b\r\n\r\n%b"
            % (
                status,
                HTTPStatus(status).phrase.encode(),
                self._default(),
                _connection(keep_alive),
                b"".join(b"%b: %b\r\n" % field for field in response.raw_headers),
                own_id,
                bytes(response.body),
            )
        )
        return status

    def _default(self) -> bytes:
        """Return the server's own headers; uvicorn makes a new list of them every second, for the date."""
        headers = self.server_state.default_headers
        if self._default_headers[0] is not headers:
            encoded = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._default_headers = (headers, encoded)
        return self._default_headers[1]


def _connection(keep_alive: bool) -> bytes:
    return b"" if keep_alive else b"connection: close\r\n"
