"""``movierec up``."""

from typing import Annotated

import typer

from cli.options import Algorithm, Data, SkipBadRows
from shared.algorithms import DEFAULT_ALGORITHM, config_class
from shared.settings import WorkerSettings, load


def up(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="8000")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of serving worker processes.")] = 2,
    algorithm: Algorithm = None,
    skip_bad_rows: SkipBadRows = False,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Import and train what is missing, then exit.")
    ] = False,
) -> None:
    """Start everything on this machine; Ctrl-C stops all of it.

    An embedded Redis is used unless QUEUE_URL is set. Without --data, the data in the database is served. If
    the database is empty, files in DATA_DIR are imported; if there are none, ml-latest-small is downloaded,
    or, without a network, demo data is generated. A model is trained if there is none for this data.
    """
    if algorithm is not None:
        config_class(algorithm)  # an unknown one is an error before anything is started
    if prepare_only:
        from cli.prepare import prepare

        prepare(
            load(WorkerSettings),
            data,
            algorithm or DEFAULT_ALGORITHM,
            asked_for=algorithm is not None,
            skip_bad_rows=skip_bad_rows,
        )
        return
    from cli.supervision import run_up

    run_up(data=data, host=host, port=port, workers=workers, algorithm=algorithm, skip_bad_rows=skip_bad_rows)
