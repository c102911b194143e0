"""A connection of the load generator."""

import asyncio
import time
from typing import Protocol, cast

_STALE_SECONDS = 4.0
"""How long a connection may have been idle and still be used. Servers close idle ones after five seconds (our
KEEP_ALIVE), possibly while a request is on its way, which is then lost; clients that keep connections avoid
that as well. Requests that are lost all the same are counted."""


class Run(Protocol):
    """What a connection reports to."""

    bytes_received: int

    def answered(self, connection: "Connection", head: bytes, due: float, sent: float) -> None:
        """Take the head of a complete response."""

    def lost(self, connection: "Connection", *, asked: bool) -> None:
        """Take note that a connection is closed; ``asked`` if a request was under way."""


class Connection(asyncio.Protocol):
    """A connection with at most one request under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._head = b""
        self._missing = 0  # of the body
        self._due: float | None = None
        self._sent = 0.0
        self._idle_since = time.perf_counter()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time of the performance counter."""
        self._due = due
        self._sent = time.perf_counter()
        self._transport.write(request)

    @property
    def usable(self) -> bool:
        """Whether the server certainly keeps the connection open."""
        fresh = time.perf_counter() - self._idle_since < _STALE_SECONDS
        return fresh and not self.lost and not self._transport.is_closing()

    def end(self) -> None:
        """Close it."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Report the response when it is complete."""
        self._run.bytes_received += len(data)
        if self._missing:
            self._missing -= len(data)
        else:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            self._head = data if end < 0 else data[: end + 2]
            if end < 0:
                return
            try:
                self._missing = _body_length(self._head) - (len(data) - end - 4)
            except ValueError:
                self._missing = -1
        if self._missing > 0:
            return
        if self._missing < 0 or self._due is None:
            self._transport.abort()  # a response that is not understood or was not asked for
            return
        head, due = self._head, self._due
        self._head, self._due = b"", None
        self._idle_since = time.perf_counter()
        self._run.answered(self, head, due, self._sent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss."""
        self.lost = True
        self._run.lost(self, asked=self._due is not None)


def _body_length(head: bytes) -> int:
    """Return the declared length.

    Raises
    ------
    ValueError
        If there is none.
    """
    length = header(head, head.lower(), b"\r\ncontent-length:")
    if head[9:12] in {b"204", b"304"}:
        return 0
    return int(length)


def header(head: bytes, lower_head: bytes, name: bytes) -> bytes:
    """Return a header's value, empty if it is missing; ``name`` has the line end before it and its colon."""
    start = lower_head.find(name)
    if start < 0:
        return b""
    start += len(name)
    return head[start : head.find(b"\r\n", start)].strip()
