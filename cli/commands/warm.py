"""``movierec warm``."""

from typing import Annotated, Literal

import typer

from cli.console import output, show_progress


def warm(
    users: Annotated[
        Literal["all", "active"], typer.Option(help="All users, or those whose suggestions were requested.")
    ] = "active",
    movies: Annotated[
        Literal["all", "active", "none"], typer.Option(help="All movies, those that were requested, or none.")
    ] = "active",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of threads.", show_default="one per core")
    ] = None,
) -> None:
    """Compute answers in advance, while the service runs.

    Cached answers that are still valid are not computed again, so an interrupted run continues where it
    stopped. Answers are kept for a day. After each new model and each import, the service does this by itself
    for the most frequent requests.
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
