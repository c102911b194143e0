"""Runs the gateway as a process: builds the application, chooses who speaks HTTP, serves."""

import contextlib
import sys

import uvicorn

from gateway.app import create_app
from shared.database.engine import open_database
from shared.queue.connections import connect
from shared.settings import GatewaySettings

_SHUTDOWN_SECONDS = 10
_NOT_STARTED = 3
_BACKLOG = 65_535
"""The most that there is; the operating system has a limit of its own (net.core.somaxconn)."""


def run_gateway(settings: GatewaySettings) -> None:
    """Serve until told to stop by SIGTERM or SIGINT; requests under way are finished first.

    Raises
    ------
    ConfigurationError, ServiceError
        If the settings name no database or Redis, or the database does not answer. A Redis that does not
        answer is waited for while the gateway runs.
    """
    open_database(settings.database).dispose()
    for url in (settings.queue, settings.cache):
        connect(url).close()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,  # ours has request ids
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here asks where a request comes from
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive.total_seconds(),  # type: ignore[arg-type] # it waits so long
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _server(config, settings)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in good order, then raises the signal anew
        server.run()
    if not server.started:
        sys.exit(_NOT_STARTED)


def _server(config: uvicorn.Config, settings: GatewaySettings) -> uvicorn.Server:
    """Return uvicorn's own server, or ours, which is not even imported unless it is wanted."""
    if not settings.fast_path:
        return uvicorn.Server(config)
    from gateway.fast_path.server import FastPathServer

    return FastPathServer(config, settings)
