"""Accepts connections: many in each turn of the event loop, and no more than may be open."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Set
from typing import cast

import uvicorn

from gateway.fast_path.limits import LimitedConnection, Limits
from gateway.fast_path.protocol import FastPathProtocol
from gateway.fast_path.wire import encoded, response_bytes
from gateway.http.problems import TooManyConnections
from gateway.http.request_id import request_id
from shared.settings import GatewaySettings

_ACCEPTED_AT_ONCE = 256
_ACCEPT_PAUSE_SECONDS = 1.0
_READ_BEFORE_CLOSE = 65_536
_OBJECTS_BETWEEN_COLLECTIONS = 20_000


class FastPathServer(uvicorn.Server):
    """Accepts many new connections in each turn of the event loop, and refuses those above the limit.

    uvloop accepts one a turn. While a turn takes a tenth of a second, because there is much to answer, new
    clients would wait for each other, some of them for more than ten seconds. And when files run out it drops
    clients without a word.

    Parameters
    ----------
    config : uvicorn.Config
        Not loaded yet; its protocol class becomes :class:`gateway.fast_path.protocol.FastPathProtocol`.
    settings : GatewaySettings
        The limits.
    """

    def __init__(self, config: uvicorn.Config, settings: GatewaySettings) -> None:
        config.http = FastPathProtocol
        super().__init__(config)
        self._settings = settings
        self._listeners: list[socket.socket] = []
        self._connecting: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        self._limits = Limits(self._settings, cast(Set[LimitedConnection], self.server_state.connections))
        self.lifespan.state["limits"] = self._limits
        _calm_garbage_collector()
        # Copies, because the event loop closes its own: it shall not accept anybody beside us.
        self._listeners = [own.dup() for server in self.servers for own in server.sockets]
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            self._watch(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and finish the requests under way."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._listeners.clear()
        await super().shutdown(sockets)
        self._limits.stop()

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._connecting and self._limits.are_reached(len(self._connecting)):
                return  # until it is known whether these are idle
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionError):  # there is nobody, or nobody any more
                return
            except OSError as error:  # no files or memory left
                closed = self._limits.end_idle()
                self._limits.complain("no connections are accepted", reason=str(error), idle_closed=closed)
                loop.remove_reader(listener)
                loop.call_later(_ACCEPT_PAUSE_SECONDS, self._watch, listener)
                return
            connection.setblocking(False)
            if self._limits.are_reached() and not self._limits.end_idle():
                self._refuse(connection)
                continue
            task = loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _refuse(self, connection: socket.socket) -> None:
        self._limits.complain("connections are refused", most=self._limits.most)
        problem = TooManyConnections("There are too many connections; try again soon.")
        headers = encoded(self.server_state.default_headers)
        with connection, contextlib.suppress(OSError):  # it is gone already
            connection.send(response_bytes(problem.response(), headers, request_id(None), keep_alive=False))
            connection.shutdown(socket.SHUT_WR)
            connection.recv(_READ_BEFORE_CLOSE)  # what is unread would reset the connection

    async def _connect(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> FastPathProtocol:
        return FastPathProtocol(self.config, self.server_state, self.lifespan.state)


def _calm_garbage_collector() -> None:
    """Make the garbage collector run less often, and not look at objects that stay.

    A request makes some hundred objects and hardly a cycle, and the catalogue has tens of thousands that live
    as long as the process: looking through them took a tenth of the time, under overload a quarter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
