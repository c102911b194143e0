"""The gateway as a process."""

import uvicorn

from gateway.app import create_app
from gateway.front import Front
from gateway.protocol import MemoryProtocol
from shared.broker import connect
from shared.database.engine import open_database
from shared.settings import GatewaySettings

_SHUTDOWN_SECONDS = 10


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
    uvicorn.run(
        Front(create_app(settings)),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=MemoryProtocol,
        access_log=False,  # ours has request ids
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here asks where a request comes from
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
