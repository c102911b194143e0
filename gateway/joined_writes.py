"""Headers and body in one system call."""

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that sends what is written within one turn of the event loop together.

    uvicorn writes the headers of a response and then its body, and each write is a system call that wakes
    whoever waits at the other end. Whole responses gain, too: all of a turn leave one after the other, so
    that a client that has many connections is woken once.

    Parameters
    ----------
    transport : asyncio.Transport
        Of a connection; whatever is not defined here is its own.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Tell whether the connection is being closed; asked for with every answer."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send soon."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close the connection when all is sent."""
        self.flush()
        self._transport.close()
