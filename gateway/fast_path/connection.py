"""A connection that no client can make expensive: what is read, held and waited for has limits.

It is built in three layers: :mod:`gateway.fast_path.refusals`, :mod:`gateway.fast_path.reading`, and here
what is done with each request and how long a client may take. Offers of other protocols are ignored, a client
may end its side before it has its answers, and what cannot be served is refused with a problem document.
"""

import httptools

from gateway.fast_path.limits import MOST_HEADERS
from gateway.fast_path.reading import ReadingConnection
from gateway.fast_path.refusals import BODY, HEAD, NOTHING
from gateway.fast_path.wire import has_unread, one_line_each
from gateway.http.body_limit import MAX_BODY_BYTES, body_too_large
from gateway.http.problems import BadRequest, RequestTimeout


class Connection(ReadingConnection):
    """A connection whose requests are answered by the application."""

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        """Begin a request, without the scope that most will not need."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._part = HEAD
        self._size = -1

    def on_headers_complete(self) -> None:
        """Answer the request here, or hand it to the application."""
        if self._size >= 0 or len(self.headers) > MOST_HEADERS:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.head_bytes or len(self.headers) > MOST_HEADERS:
                raise self._oversized()
        self._skipped = self.answers_itself()
        if not self._skipped:
            self._hand_on()

    def answers_itself(self) -> bool:
        """Answer the request, or start to; return False to leave it to the application."""
        return False

    def _hand_on(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._skipped = True  # it will be parsed again
            return
        if not self.url.startswith(b"/") and httptools.parse_url(self.url).path is None:
            raise BadRequest("An address needs a path; that of the root is /.")  # uvicorn expects one
        url, headers, expecting = self.url, one_line_each(self.headers), self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expecting
        self.headers.extend(headers)  # the list that the scope has
        if int(next((value for name, value in headers if name == b"content-length"), 0)) > MAX_BODY_BYTES:
            raise body_too_large()
        super().on_headers_complete()
        self.headers = []  # for trailers, which nobody asks for
        self._part = BODY
        self._content = 0
        self._joined.lingers = not self._half_closed
        self._begin_part()

    def on_body(self, body: bytes) -> None:
        """Handle a part of a body."""
        if not self._skipped:
            self._content += len(body)
            if self._content > MAX_BODY_BYTES:
                raise body_too_large()
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._part = NOTHING
        if not self._skipped:
            self._joined.lingers = False
            super().on_message_complete()
            if not self._is_answering():
                self.check_at = self._limits.now + self._limits.keep_alive

    # --- answering ---

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.note_response()
        if self._refusal is not None:
            self._refuse(self._refusal)
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
        self.check_at = self._limits.now + self._limits.keep_alive

    def pause_writing(self) -> None:
        """Start to wait until the client reads its answers."""
        super().pause_writing()
        self._taken = self._joined.taken
        self.check_at = self._limits.now + self._limits.send

    def resume_writing(self) -> None:
        """Go on when it has read them."""
        super().resume_writing()
        self.check_at = self._limits.now + self._limits.keep_alive
        self._parse_soon()

    # --- waiting ---

    def check(self) -> None:
        """Close this connection if a time limit has passed."""
        limits, now, joined = self._limits, self._limits.now, self._joined
        due = None
        if self._part != NOTHING:
            due = self._since + (limits.body if self._part == BODY else limits.header)
        if joined.ended:
            self.transport.abort()  # it was told why, or could not be
        elif due is not None and now >= due and not joined.is_closing():
            what = "body" if self._part == BODY else "headers"
            self._refuse(RequestTimeout(f"The {what} of a request must be sent within the time limit."))
        elif joined.unsent or joined.is_closing():
            if joined.taken == self._taken:
                self.transport.abort()
                return
            self._taken = joined.taken
            self.check_at = now + limits.send
        elif due is not None:
            self.check_at = due
        elif self._is_answering() or not self.end_idle():
            self.check_at = now + limits.keep_alive

    def idle_since(self) -> int | None:
        """Return the tick since which this connection is idle, None if it is not."""
        if (
            self._part != NOTHING
            or self._unparsed
            or self._is_answering()
            or self.transport.is_closing()
            or self._joined.unsent
        ):
            return None
        fresh = self.headers is None
        return self.check_at - (self._limits.header if fresh else self._limits.keep_alive)

    def end_idle(self) -> bool:
        """Close this connection unless a request has just come; tell whether it was closed.

        While much is to be done, a request may have arrived long before it is read.
        """
        if has_unread(self.transport):
            return False
        self.transport.close()
        self.connections.discard(self)  # its place is free
        return True
