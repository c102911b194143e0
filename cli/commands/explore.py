"""``movierec explore``: movies, ratings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.console import output, show_progress, status
from cli.options import Data, SkipBadRows
from shared.settings import Settings, load

if TYPE_CHECKING:
    from shared.datasets.model import Dataset

app = typer.Typer(no_args_is_help=True, help="Describe the data: text and plots in results/.")


@app.command("movies")
def explore_movies(data: Data = None, skip_bad_rows: SkipBadRows = False) -> None:
    """Describe the movies: years, genres and which of them go together."""
    from worker.exploration import explore_movies as explore

    _explore(explore, data, skip_bad_rows)


@app.command("ratings")
def explore_ratings(data: Data = None, skip_bad_rows: SkipBadRows = False) -> None:
    """Describe the ratings: by user, by movie and by score."""
    from worker.exploration import explore_ratings as explore

    _explore(explore, data, skip_bad_rows)


def _explore(explore: Callable[[Dataset, Path], list[Path]], data: Path | None, skip_bad_rows: bool) -> None:
    from cli.datasets import load_dataset

    settings = load(Settings)
    with show_progress() as progress:
        dataset = load_dataset(settings, data, skip_bad_rows=skip_bad_rows, progress=progress)
    paths = explore(dataset, settings.results_dir)
    output.print(
        next(path for path in paths if path.suffix == ".txt").read_text(encoding="utf-8"), markup=False
    )
    for path in paths:
        status.print(f"wrote {path}", markup=False)
