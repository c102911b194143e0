"""``movierec evaluate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.console import output, show_progress, status
from cli.options import Data, Seed, SkipBadRows
from shared.algorithms import DEFAULT_ALGORITHM
from shared.settings import Settings, load


def evaluate(
    data: Data = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--algorithm",
            "-a",
            metavar="NAME[:PARAMETER=VALUE,...]",
            help="May be repeated, also with other parameters.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Number of folds.")] = 5,
    split: Annotated[
        Literal["random", "temporal"],
        typer.Option(help="random, or temporal: train on the past, test on the newest ratings."),
    ] = "random",
    seed: Seed = 0,
    jobs: Annotated[
        int, typer.Option(min=1, help="Folds evaluated at the same time; each takes its own memory.")
    ] = 1,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the results to this file as JSON."),
    ] = None,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Cross-validate algorithms on the same folds; tables are written to results/.

    Without --data, the ratings in the database are used.
    """
    from cli.datasets import load_dataset
    from worker.evaluation import Contender, Split, cross_validate, render_table, write_results

    contenders = [Contender.parse(text, seed) for text in algorithm or [DEFAULT_ALGORITHM]]
    settings = load(Settings)
    with show_progress() as progress:
        dataset = load_dataset(settings, data, skip_bad_rows=skip_bad_rows, progress=progress)
        evaluation = cross_validate(
            dataset, contenders, n_folds=folds, seed=seed, split=Split(split), n_jobs=jobs, progress=progress
        )
    for path in write_results(evaluation, settings.results_dir, json):
        status.print(f"wrote {path}", markup=False)
    output.print(render_table(evaluation), markup=False)
