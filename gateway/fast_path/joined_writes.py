"""Sends headers and body, and the answers of one turn of the event loop, in one system call."""

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT


class JoinedWrites:
    """A transport that sends what is written within one turn of the event loop together.

    uvicorn writes the headers of a response and then its body, and each write is a system call that wakes
    whoever waits at the other end. Whole responses gain, too: all of a turn leave one after the other, so
    that a client that has many connections is woken once.

    No more is held than the transport's high-water mark and one answer: then all goes to the transport, which
    says so if the client does not take it.

    Parameters
    ----------
    transport : asyncio.Transport
        Of a connection; whatever is not defined here is its own.

    Attributes
    ----------
    ended : bool
        Whether nothing will be sent any more, though the client may go on sending.
    lingers : bool
        Whether a client is sending something, so that :meth:`close` must only end our side: to close a
        connection with unread data resets it, and the last answer may be lost with that.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._written = self._flushed = 0
        self.ended = self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken, nor its or our kernel for it."""
        return self._written - self._flushed + self._transport.get_write_buffer_size()

    @property
    def taken(self) -> int:
        """Bytes that were sent so far."""
        return self._written - self.unsent

    def is_closing(self) -> bool:
        """Tell whether the connection is being closed; asked for with every answer."""
        return self.ended or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send soon."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._written += len(data)
        if self._written - self._flushed > HIGH_WATER_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, []
        self._flushed = self._written
        if held and not self.ended:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close the connection when all is sent."""
        if self.lingers and not self.is_closing():
            self.end()
            return
        self.flush()
        self._transport.close()

    def end(self) -> None:
        """Send what is held, and nothing after it."""
        self.flush()
        self.ended = True
        if not self._transport.is_closing():
            self._transport.write_eof()

    def lost(self) -> None:
        """Forget what is held: there is no connection any more."""
        self._held.clear()
        self._flushed = self._written
        self.ended = True
