"""``movierec train``."""

from typing import Annotated

import typer

from cli.console import show_progress
from cli.options import Algorithm, Data, Seed, SkipBadRows
from shared.algorithms import DEFAULT_ALGORITHM, parse_config, split_parameter
from shared.settings import WorkerSettings, load


def train(
    data: Data = None,
    algorithm: Algorithm = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="A parameter of the algorithm (docs/models.md); may be repeated.",
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Stop fitting after this many seconds; bayes only."),
    ] = None,
    seed: Seed = 0,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Train a model on the data in the database and publish it; running workers switch to it.

    With --data, that data set is imported first, unless the database holds it already. After Ctrl-C the
    current model stays in service.
    """
    from cli.reports import print_import, print_model
    from shared.artifacts.store import ArtifactStore
    from shared.database.engine import open_database
    from shared.datasets.importing import import_dataset
    from worker.training.pipeline import train as train_and_publish

    settings = load(WorkerSettings)
    given: dict[str, object] = {"seed": seed, **dict(split_parameter(text) for text in parameter or [])}
    if max_seconds is not None:
        given["max_seconds"] = max_seconds
    config = parse_config(algorithm or DEFAULT_ALGORITHM, given)
    engine = open_database(settings.database)
    with show_progress() as progress:
        if data is not None:
            outcome = import_dataset(engine, data, skip_bad_rows=skip_bad_rows, progress=progress)
            print_import(outcome)
        manifest = train_and_publish(
            engine, ArtifactStore(settings.models), config, keep=settings.keep_versions, progress=progress
        )
    print_model(manifest)
