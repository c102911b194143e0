"""All sizes, one after the other."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks.training import steps
from benchmarks.training.table import TrainingFigures, render
from shared.datasets.generate import SUMMARY_FILE, generate
from shared.progress import Progress, Step
from shared.result_files import write_files

P = ParamSpec("P")
R = TypeVar("R")

SURPRISE_EPOCHS_OF_A_FIT = 20
_USERS_OF_20M, _MOVIES_OF_20M, _RATINGS_OF_20M = 138_493, 27_278, 20_000_263


def run(
    sizes: Sequence[int],
    *,
    algorithm: str,
    surprise_epochs: int,
    directory: Path,
    results: Path,
    progress: Progress,
) -> str:
    """Measure each size and return the table.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of ratings.
    algorithm : str
        Algorithm to train.
    surprise_epochs : int
        Epochs of Surprise to run; 0 leaves it out.
    directory : Path
        Directory in which data sets are generated and kept.
    results : Path
        Directory of ``bench_training.txt`` and ``.json``.
    progress : callable
        Called with each step.
    """
    figures = []
    for number, size in enumerate(sizes):
        progress(Step("measuring", number, len(sizes), "size"))
        figures.append(_measure(size, algorithm, surprise_epochs, directory / f"bench-{size}", progress))
        table = render(figures, algorithm, surprise_epochs)
        document = {"algorithm": algorithm, "sizes": [asdict(row) for row in figures]}
        files = {"bench_training.txt": table, "bench_training.json": json.dumps(document, indent=2) + "\n"}
        write_files(results, {name: text.encode() for name, text in files.items()})
    progress(Step("measuring", len(sizes), len(sizes), "size"))
    return table


def _measure(
    size: int, algorithm: str, surprise_epochs: int, directory: Path, progress: Progress
) -> TrainingFigures:
    share = size / _RATINGS_OF_20M
    if not (directory / "files" / SUMMARY_FILE).exists():
        directory.mkdir(parents=True, exist_ok=True)
        generate(
            directory / "files",
            n_ratings=size,
            n_users=max(100, round(_USERS_OF_20M * share)),
            n_movies=max(200, min(_MOVIES_OF_20M, round(_MOVIES_OF_20M * share**0.5))),
            progress=progress,
        )
    progress(Step(f"importing {size:,} ratings", 0))
    _alone(steps.import_dataset, directory)
    progress(Step(f"training {algorithm} on {size:,} ratings", 0))
    ours = _alone(steps.train_model, directory, algorithm)
    progress(Step(f"testing {algorithm} on {size:,} ratings", 0))
    tested = _alone(steps.test_model, directory)
    surprise: dict[str, float] = {}
    if surprise_epochs:
        progress(Step(f"Surprise on {size:,} ratings", 0))
        surprise = _alone(steps.train_surprise, directory, surprise_epochs)
    epoch, trainset = surprise.get("epoch_seconds"), surprise.get("trainset_seconds")
    return TrainingFigures(
        **ours,  # type: ignore[arg-type]
        **tested,  # type: ignore[arg-type]
        noise_floor=json.loads((directory / "files" / SUMMARY_FILE).read_text(encoding="utf-8"))[
            "noise_floor"
        ],
        surprise_trainset_seconds=trainset,
        surprise_epoch_seconds=epoch,
        surprise_seconds=None
        if epoch is None or trainset is None
        else trainset + SURPRISE_EPOCHS_OF_A_FIT * epoch,
        surprise_peak_megabytes=surprise.get("peak_megabytes"),
    )


def _alone(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()
