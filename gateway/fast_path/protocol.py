"""Answers the frequent questions before they become requests of the framework.

An ASGI application costs a scope, a task and several dictionaries for each request before it can look at the
path, and FastAPI several times that. Here the path is looked up as soon as the parser has it. What is in
memory is written to the connection at once: twice as fast as the smallest ASGI application, and five times
a FastAPI route (``movierec bench serving``). A question that needs a ranking from Redis or from a worker, the
other kind of request that there is a lot of, is answered by a task of its own. Everything else takes
uvicorn's normal path to the routes, which answer the same (``tests/gateway/test_equal_answers.py``).
"""

import asyncio
import time
from typing import Any, cast

from fastapi import Response

from gateway.context import GatewayContext
from gateway.fast_path.connection import Connection
from gateway.fast_path.wire import encoded
from gateway.http import access_log, urls
from gateway.http.error_handlers import problem_of
from gateway.http.problems import QueueFull
from gateway.http.request_id import request_id
from gateway.rankings.answer_cache import Answer, accepts_gzip
from gateway.rankings.dispatcher import StillWorkingError
from gateway.rankings.service import accepted_ranking, answer_ranking
from shared.contract.question import Question

_ELSEWHERE = frozenset({b"origin", b"content-length", b"transfer-encoding", b"expect", b"range", b"upgrade"})
"""Requests with one of these headers need more than an answer: CORS, or care with a body."""

_Wishes = tuple[bool, bytes | None, bytes, bool]
"""Whether gzip is accepted, ``If-None-Match``, the request's id, and whether there is a ``Prefer``."""


def _busy() -> bytes:
    response = QueueFull("More is asked than can be answered in time; try again soon.").response()
    template = b"HTTP/1.1 503 Service Unavailable\r\n%%bvary: Origin\r\n%bx-request-id: %%b\r\n\r\n%b"
    return template % (encoded(response.raw_headers), bytes(response.body))


_BUSY = _busy()


class _Deaf:
    """Stands in for the event that tells an application of a body, or that the client has left."""

    def set(self) -> None:
        pass


class _Turn:
    """A question that is being answered, with the fields that uvicorn looks at in a request.

    It lets further requests of the connection wait until ``response_complete``, and a server that ends sets
    ``keep_alive``.
    """

    message_event = _Deaf()

    def __init__(self) -> None:
        self.response_complete = False
        self.keep_alive = True
        self.disconnected = False


class FastPathProtocol(Connection):
    """A connection, answered without the framework where possible.

    The application's lifespan state has the :class:`gateway.context.GatewayContext` under ``gateway``.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._context: GatewayContext = self.app_state["gateway"]
        super().connection_made(transport)

    def answers_itself(self) -> bool:
        """Answer what is in memory at once, begin to answer another plain question."""
        path = self.url.rstrip(b"/")
        answer = self._context.answer_cache.get(path)
        question = urls.question(path) if answer is None else None
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
            self.note_response()
            return True
        assert question is not None
        return self._ask(question, path, wishes)

    def _wishes(self) -> _Wishes | None:
        """Return what the headers ask for, None if it is more than an answer."""
        given_id = if_none_match = encodings = None
        preferring = False
        for name, value in self.headers:
            if name in _ELSEWHERE:
                return None
            if name == b"accept-encoding":
                encodings = value if encodings is None else b"%b, %b" % (encodings, value)
            elif name == b"if-none-match":
                if_none_match = value if if_none_match is None else b"%b, %b" % (if_none_match, value)
            elif name == b"x-request-id":
                if given_id is None:
                    given_id = value
            elif name == b"connection":
                if self.parser.get_http_version() != "1.1":
                    return None  # kept open only for those who know that from the version alone
            elif name == b"prefer":
                preferring = True
        compressed = encodings is not None and accepts_gzip(encodings)
        return compressed, if_none_match, request_id(given_id), preferring

    def _ask(self, question: Question, path: bytes, wishes: _Wishes) -> bool:
        shedder = self._context.load_shedder
        if shedder.sheds(question):
            shedder.shed += 1
            self._joined.write(_BUSY % (self.server_headers(), wishes[2]))
            self.note_response()
            return True
        if wishes[3]:
            return False
        turn = _Turn()
        self.cycle = cast(Any, turn)
        task = self.loop.create_task(
            self._take(turn, question, path, wishes, self._context.prefix.of(self.headers))
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
            answer, cached = await answer_ranking(self._context, question, wait=True)
        except StillWorkingError as pending:
            response = accepted_ranking(question, pending.job_id, prefix)
        except Exception as error:
            response = problem_of(error).response()
        turn.response_complete = True
        if self.transport.is_closing():
            return
        if response is None:
            head = answer.head if cached else answer.missed_head
            status = self._write(answer, head, wishes, turn.keep_alive)
        else:
            status = response.status_code
            self.write_response(response, wishes[2], keep_alive=turn.keep_alive)
        if not turn.keep_alive:
            self.transport.close()
        self.on_response_complete()
        usual = response is None
        if usual:
            self._context.request_counts.add(started, cached=cached)
        if not usual or access_log.tells_all():
            access_log.write(wishes[2].decode(), "GET", path.decode(), status, started, usual=usual)

    def _write(self, answer: Answer, head: bytes, wishes: _Wishes, keep_alive: bool = True) -> int:
        """Write an answer as :func:`gateway.http.responses.send` would, and return the status."""
        compressed, if_none_match, own_id, _ = wishes
        body = answer.compressed if compressed else None
        encoding = b"content-encoding: gzip\r\n" if body is not None else b""
        tag = answer.tag(compressed=body is not None)
        if if_none_match is not None and answer.matches(if_none_match):
            self._joined.write(
                b"HTTP/1.1 304 Not Modified\r\n%b%b%betag: %b\r\nx-request-id: %b\r\n\r\n"
                % (self.server_headers(), _connection(keep_alive), head, tag, own_id)
            )
            return 304
        body = answer.body if body is None else body
        self._joined.write(
            b"HTTP/1.1 200 OK\r\n%b%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"etag: %b\r\nx-request-id: %b\r\n\r\n%b"
            % (
                self.server_headers(),
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


def _connection(keep_alive: bool) -> bytes:
    return b"" if keep_alive else b"connection: close\r\n"
