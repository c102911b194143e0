"""``movierec gateway``."""

from typing import Annotated

import typer

from shared.settings import GatewaySettings, load


def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="HOST")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="PORT")
    ] = None,
) -> None:
    """Run one HTTP gateway. It needs Redis (QUEUE_URL, CACHE_URL), the database and DATA_DIR/model."""
    from cli.addresses import require_address
    from gateway.server import run_gateway
    from shared.logs import configure_logging

    settings = load(GatewaySettings, host=host, port=port)
    require_address(settings, by_option=host is not None)
    configure_logging(settings)
    run_gateway(settings)
