"""``movierec warm``."""

from typing import Annotated, Literal

import typer

from cli.console import output, show_progress


def warm(
    users: Annotated[
        Literal["all", "active"], typer.Option(help="Everybody, or whose suggestions were asked for.")
    ] = "active",
    movies: Annotated[
        Literal["all", "active", "none"], typer.Option(help="All, those that were asked for, or none.")
    ] = "active",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads to compute with.", show_default="one a core")
    ] = None,
) -> None:
    """Compute answers before they are asked for, while the service runs.

    What is in the cache and still right is not computed again, so an interrupted run goes on where it was.
    Answers are kept for a day. The service does this by itself for what is asked most, after each new model
    and import.
    """
    from cli.service import service_settings
    from shared.logs import configure_logging
    from worker.warming import Scope, run_warming

    settings = service_settings()
    configure_logging(settings)
    with show_progress() as progress:
        report = run_warming(
            settings, users=Scope(users), movies=Scope(movies), threads=jobs, progress=progress
        )
    output.print(report, markup=False)
