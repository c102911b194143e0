"""A connection that no client can make expensive: what is read, held and waited for has limits.

uvicorn's protocol class parses all that was read at once and holds what comes of it. Here one request is
parsed after the other, and the next one only when the answer to the last was handed to the transport and the
transport is not full. What was read and is not yet parsed is one read at most, since nothing more is read
meanwhile. Offers of other protocols are ignored, a client may end its side before it has its answers, and
what cannot be served is refused with a problem document.
"""

import asyncio
from typing import Any, cast

import httptools
import structlog
from fastapi import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.fast_path.joined_writes import JoinedWrites
from gateway.fast_path.limits import MOST_HEADERS, Limits
from gateway.fast_path.wire import encoded, has_unread, one_line_each, parse_problem, response_bytes
from gateway.http.middleware import MAX_BODY_BYTES
from gateway.http.problems import BodyTooLarge, HeadersTooLarge, Problem, RequestTimeout, UriTooLong
from gateway.http.request_id import request_id

log = structlog.get_logger(__name__)

_END_OF_HEAD = b"\r\n\r\n"

_PARSED_AT_ONCE = 16
"""Parts of what was read, each with about one request; then others have their turn."""

_DECODED_SHARE = 8
"""A body in chunks may take so many times the size of what is in it."""

# What the next byte belongs to.
_NOTHING, _HEAD, _BODY = range(3)


class _Flow(FlowControl):
    """Reads on only when all that was read has been parsed."""

    held_back = False

    def resume_reading(self) -> None:
        if not self.held_back:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """A connection whose requests take uvicorn's way to the application.

    The application's lifespan state has the :class:`gateway.fast_path.limits.Limits` under ``limits``.
    """

    look_at = 0
    _part = _NOTHING
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
    """Whether uvicorn shall not hear of the request that is being parsed."""
    _half_closed = False
    _trouble: Problem | None = None
    """With what was sent after a request that is not answered yet."""
    _taken = -1
    """Bytes of answers that the client had taken when that was looked at last."""
    _encoded_headers: tuple[Any, bytes] = (None, b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._joined = JoinedWrites(transport)
        self._limits: Limits = self.app_state["limits"]
        self.look_at = self._limits.now + self._limits.header
        super().connection_made(cast(asyncio.Transport, self._joined))
        self._flow = _Flow(self.transport)
        self.flow = self._flow

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._joined.lost()
        self._unparsed, self._parsed = b"", 0
        super().connection_lost(exc)

    # --- reading ---

    def data_received(self, data: bytes) -> None:
        """Parse what was read, up to where answers have to be waited for."""
        cycle = self.cycle  # as in _waits, which this saves calling for each request
        if (
            self._part
            or self._unparsed
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or self._joined.ended
        ):
            self._take_in(data)
        elif data.find(_END_OF_HEAD) + 4 == len(data) <= self._limits.head_bytes:
            self._feed(data)  # one request: what nearly every read is
        else:
            self._unparsed = data
            self._parse_on()

    def _take_in(self, data: bytes) -> None:
        """Take what was read before all that was asked is answered."""
        if self._joined.ended:
            return  # nobody listens any more
        self._unparsed, self._parsed = self._unparsed[self._parsed :] + data, 0
        if self._waits():
            self._hold_back()
        elif not self._scheduled:
            self._parse_on()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what was asked before the client ended its side, then close."""
        self._half_closed = True
        self._flow.held_back = True  # nothing will come, and to read it would be told as the end again
        self._joined.lingers = False
        self._close_if_done()
        return True

    def _close_if_done(self) -> None:
        """Close after the client ended its side, unless it is still owed an answer."""
        if not self._unparsed and (self._part == _BODY or not self._is_answering()):
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _waits(self) -> bool:
        """Tell whether nothing more may be parsed for now."""
        cycle = self.cycle
        return (
            (cycle is not None and not cycle.response_complete and self._part != _BODY)
            or self.flow.write_paused
            or self._joined.ended
        )

    def _hold_back(self) -> None:
        self._flow.held_back = True
        self._flow.pause_reading()

    def _parse_soon(self) -> None:
        if self._unparsed and not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._parse_on)

    def _parse_on(self) -> None:
        """Parse what was read before, one request after the other."""
        self._scheduled = False
        left = _PARSED_AT_ONCE
        while self._parsed < len(self._unparsed):
            if self._waits() or not left:
                self._hold_back()
                if not self._waits():
                    self._parse_soon()
                return
            left -= 1
            begin = self._parsed
            end = self._end_of_part(begin)
            self._parsed = end
            self._feed(self._unparsed[begin:end])
            if self.transport.is_closing():
                break
        self._unparsed, self._parsed = b"", 0
        if not self._half_closed:
            self._flow.held_back = False
            self._flow.resume_reading()
        else:
            self._close_if_done()

    def _end_of_part(self, begin: int) -> int:
        """Return where to stop parsing: one head is complete by then, or two if one was nearly complete."""
        data = self._unparsed
        stop = min(len(data), begin + self._limits.head_bytes)
        end_of_head = data.find(_END_OF_HEAD, begin, stop)
        return stop if end_of_head < 0 else end_of_head + len(_END_OF_HEAD)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(parse_problem(error))
        else:
            if self._part != _NOTHING:
                self._measure(len(data))

    def _measure(self, n: int) -> None:
        """Count what was read of a request that is not complete."""
        if self._size < 0:
            self._begin_part()
        else:
            self._size += n
        if self._part == _BODY:
            if self._size > _DECODED_SHARE * MAX_BODY_BYTES:
                self._refuse(self._too_large())
        elif self._size > self._limits.head_bytes or len(self.headers) > MOST_HEADERS:
            self._refuse(self._oversized())

    def _begin_part(self) -> None:
        limits = self._limits
        self._size = 0
        self._since = limits.now
        self.look_at = limits.now + (limits.body if self._part == _BODY else limits.header)

    def _oversized(self) -> Problem:
        largest = self._limits.head_bytes
        if len(self.url) > largest // 2 or not self.headers:
            return UriTooLong(f"An address and all headers may have {largest:,} bytes together.")
        return HeadersTooLarge(
            f"A request may have {MOST_HEADERS} header lines, and {largest:,} bytes until their end."
        )

    def _too_large(self) -> Problem:
        return BodyTooLarge(f"A body may have {MAX_BODY_BYTES:,} bytes; this one has more.")

    def _decline(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 though another protocol was offered (RFC 9110, 7.8).

        The parser takes everything after the headers for that protocol. So the request is parsed once more,
        without the offer.
        """
        head = b""
        if self.parser.get_method() != b"CONNECT":  # which was handed on, to be refused
            version = self.parser.get_http_version().encode()
            fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
            head = b"%b %b HTTP/%b\r\n%b\r\n" % (
                self.parser.get_method(),
                self.url,
                version,
                b"".join(fields),
            )
        self._unparsed, self._parsed = head + rest + self._unparsed[self._parsed :], 0
        self._parse_soon()

    # --- what the parser found ---

    def on_message_begin(self) -> None:
        """Begin a request, without the scope that most will not need."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._part = _HEAD
        self._size = -1

    def on_headers_complete(self) -> None:
        """Answer, or hand the request on."""
        if self._size >= 0 or len(self.headers) > MOST_HEADERS:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.head_bytes or len(self.headers) > MOST_HEADERS:
                raise self._oversized()
        self._skipped = self.answers_itself()
        if not self._skipped:
            self._hand_on()

    def answers_itself(self) -> bool:
        """Answer the request, or begin to, and tell whether that was done."""
        return False

    def _hand_on(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._skipped = True  # it will be parsed again
            return
        url, headers, expecting = self.url, one_line_each(self.headers), self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expecting
        self.headers.extend(headers)  # the list that the scope has
        if int(next((value for name, value in headers if name == b"content-length"), 0)) > MAX_BODY_BYTES:
            raise self._too_large()
        super().on_headers_complete()
        self.headers = []  # for trailers, which nobody asks for
        self._part = _BODY
        self._content = 0
        self._joined.lingers = not self._half_closed
        self._begin_part()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._skipped:
            self._content += len(body)
            if self._content > MAX_BODY_BYTES:
                raise self._too_large()
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._part = _NOTHING
        if not self._skipped:
            self._joined.lingers = False
            super().on_message_complete()
            if not self._is_answering():
                self.look_at = self._limits.now + self._limits.keep_alive

    # --- answering ---

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.note_response()
        if self._trouble is not None:
            self._refuse(self._trouble)
        if self.transport.is_closing():
            if self._joined.ended:
                self._linger()
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._unparsed:
            self._parse_soon()
        elif self._half_closed:
            self.transport.close()
        else:
            self.flow.resume_reading()

    def note_response(self) -> None:
        """Count a response; from now on the connection may be idle."""
        self.server_state.total_requests += 1
        self.look_at = self._limits.now + self._limits.keep_alive

    def pause_writing(self) -> None:
        """Hear that the client does not take its answers."""
        super().pause_writing()
        self._taken = self._joined.taken
        self.look_at = self._limits.now + self._limits.send

    def resume_writing(self) -> None:
        """Hear that it has taken them."""
        super().resume_writing()
        self.look_at = self._limits.now + self._limits.keep_alive
        self._parse_soon()

    def _refuse(self, problem: Problem) -> None:
        """Say what is wrong, then close."""
        cycle = self.cycle
        fields = self.headers
        answered = False
        if self._is_answering():
            if self._part != _BODY or self.pipeline:
                self._trouble = problem  # with what comes later: the answer first
                return
            answered = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        if self._part == _BODY:
            fields = list(self.scope["headers"])
            answered |= cycle.response_complete
        given = dict(reversed(fields))  # of several lines the first
        own_id = request_id(given.get(b"x-request-id"))
        log.warning(
            "request refused", request_id=own_id.decode(), status=problem.status, reason=problem.detail
        )
        self._trouble = None
        if not answered:
            response = problem.response()
            origin = given.get(b"origin", b"").decode("latin-1")
            if origin and not self._limits.origins.isdisjoint({origin, "*"}):
                allowed = "*" if "*" in self._limits.origins else origin
                response.headers["Access-Control-Allow-Origin"] = allowed
            self.write_response(response, own_id, keep_alive=False)
        self._joined.end()
        self._linger()

    def _linger(self) -> None:
        """Let the client finish what it sends, without listening, so that it gets to read its answer."""
        self._unparsed, self._parsed = b"", 0
        self.look_at = self._limits.now + self._limits.linger
        if not self._half_closed:
            self._flow.held_back = False
            self._flow.resume_reading()

    def write_response(self, response: Response, own_id: bytes, *, keep_alive: bool) -> None:
        """Write a response that did not come from the application."""
        self.transport.write(response_bytes(response, self.server_headers(), own_id, keep_alive=keep_alive))

    def server_headers(self) -> bytes:
        """Return the server's own headers; uvicorn makes a new list of them every second, for the date."""
        headers = self.server_state.default_headers
        if self._encoded_headers[0] is not headers:
            self._encoded_headers = (headers, encoded(headers))
        return self._encoded_headers[1]

    # --- waiting ---

    def look(self) -> None:
        """End this connection if it has kept us waiting for too long."""
        limits, now, joined = self._limits, self._limits.now, self._joined
        due = None
        if self._part != _NOTHING:
            due = self._since + (limits.body if self._part == _BODY else limits.header)
        if joined.ended:
            self.transport.abort()  # it was told why, or could not be
        elif due is not None and now >= due and not joined.is_closing():
            what = "body" if self._part == _BODY else "headers"
            self._refuse(RequestTimeout(f"The {what} of a request must be sent within the time limit."))
        elif joined.unsent or joined.is_closing():
            if joined.taken == self._taken:
                self.transport.abort()
                return
            self._taken = joined.taken
            self.look_at = now + limits.send
        elif due is not None:
            self.look_at = due
        elif self._is_answering() or not self.end_idle():
            self.look_at = now + limits.keep_alive

    def idle_since(self) -> int | None:
        """Return the tick since which there has been nothing to do, None if there is something."""
        if (
            self._part != _NOTHING
            or self._unparsed
            or self._is_answering()
            or self.transport.is_closing()
            or self._joined.unsent
        ):
            return None
        fresh = self.headers is None
        return self.look_at - (self._limits.header if fresh else self._limits.keep_alive)

    def end_idle(self) -> bool:
        """Close this connection unless a request has just come; tell whether it was closed.

        While much is to be done, a request may have arrived long before it is read.
        """
        if has_unread(self.transport):
            return False
        self.transport.close()
        self.connections.discard(self)  # its place is free
        return True
