"""Reads requests one after the other, whatever arrives at once, and bounds what is read and held."""

import httptools

from gateway.fast_path.limits import MOST_HEADERS
from gateway.fast_path.refusals import BODY, NOTHING, RefusingConnection
from gateway.fast_path.wire import parse_problem
from gateway.http.body_limit import MAX_BODY_BYTES, body_too_large
from gateway.http.problems import HeadersTooLarge, Problem, UriTooLong

_END_OF_HEAD = b"\r\n\r\n"

_PARSED_AT_ONCE = 16
"""Parts of what was read, each with about one request; then others have their turn."""

_DECODED_SHARE = 8
"""A body in chunks may take so many times the size of what is in it."""


class ReadingConnection(RefusingConnection):
    """Parses one request after the other, the next one only when the last is answered.

    uvicorn's protocol class parses all that was read at once and holds what comes of it. Here the next
    request is parsed when the answer to the last was handed to the transport and the transport is not full.
    What was read and is not yet parsed is one read at most, since nothing more is read meanwhile.
    """

    def data_received(self, data: bytes) -> None:
        """Parse what was read, up to the first request whose answer is not ready at once."""
        cycle = self.cycle  # as in _waits, which this saves calling for each request
        if (
            self._part
            or self._unparsed
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or self._joined.ended
        ):
            self._keep(data)
        elif data.find(_END_OF_HEAD) + 4 == len(data) <= self._limits.head_bytes:
            self._feed(data)  # one request: what nearly every read is
        else:
            self._unparsed = data
            self._parse_on()

    def _keep(self, data: bytes) -> None:
        """Keep what was read while an earlier request is not answered yet."""
        if self._joined.ended:
            return  # it is not read any more
        self._unparsed, self._parsed = self._unparsed[self._parsed :] + data, 0
        if self._waits():
            self._hold_back()
        elif not self._scheduled:
            self._parse_on()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the requests that came before the client ended its side, then close."""
        self._half_closed = True
        self._flow.held_back = True  # nothing will come, and to read it would be told as the end again
        self._joined.lingers = False
        self._close_if_done()
        return True

    def _close_if_done(self) -> None:
        """Close after the client ended its side, unless it is still owed an answer."""
        if not self._unparsed and (self._part == BODY or not self._is_answering()):
            self.transport.close()

    def _waits(self) -> bool:
        """Tell whether parsing has to wait, for an answer or for the client to take one."""
        cycle = self.cycle
        return (
            (cycle is not None and not cycle.response_complete and self._part != BODY)
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
        """Parse what was kept, one request after the other."""
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
        """Return where to stop parsing: after the next head, or two if the first was nearly complete."""
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
            if self._part != NOTHING:
                self._measure(len(data))

    def _measure(self, n: int) -> None:
        """Add to the size of a request that is not complete, and refuse it if it is too large."""
        if self._size < 0:
            self._begin_part()
        else:
            self._size += n
        if self._part == BODY:
            if self._size > _DECODED_SHARE * MAX_BODY_BYTES:
                self._refuse(body_too_large())
        elif self._size > self._limits.head_bytes or len(self.headers) > MOST_HEADERS:
            self._refuse(self._oversized())

    def _begin_part(self) -> None:
        limits = self._limits
        self._size = 0
        self._since = limits.now
        self.check_at = limits.now + (limits.body if self._part == BODY else limits.header)

    def _oversized(self) -> Problem:
        largest = self._limits.head_bytes
        if len(self.url) > largest // 2 or not self.headers:
            return UriTooLong(f"An address and all headers may have {largest:,} bytes together.")
        return HeadersTooLarge(
            f"A request may have {MOST_HEADERS} header lines, and {largest:,} bytes until their end."
        )

    def _decline(self, rest: bytes) -> None:
        """Ignore the offer of another protocol and go on with HTTP/1.1 (RFC 9110, 7.8).

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
