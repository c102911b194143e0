"""The figures of one size, and the table of all sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.training.steps import HELD_OUT_ONE_IN


@dataclass(frozen=True)
class TrainingFigures:
    """The measurements at one size.

    Attributes
    ----------
    ratings : int
        Ratings trained on.
    read_seconds, fit_seconds, train_seconds : float
        Reading the database; fitting; everything from the database to the published version.
    sweep_seconds : float
        Median time of one pass over all ratings.
    sweeps : int
        Passes that were timed: all but the first, which includes the set-up.
    rmse, noise_floor : float
        Error on the held-out ratings; and that of the generator's true means, which no model can beat.
    peak_megabytes : float
        Peak memory of the whole training process.
    artifact_megabytes : float
        Size of the version on disk.
    load_seconds : float
        Time to check and map the version, and to score for a first user.
    single_milliseconds, batch_milliseconds : float
        Scores of one user over all movies: alone, and a user's share in a batch of 64; medians, one thread.
    surprise_trainset_seconds, surprise_epoch_seconds, surprise_seconds : float or None
        Building the trainset, one epoch, and both for 20 epochs; None if it was left out.
    surprise_peak_megabytes : float or None
        Peak memory of the whole process.
    """

    ratings: int
    read_seconds: float
    fit_seconds: float
    train_seconds: float
    sweep_seconds: float
    sweeps: int
    rmse: float
    noise_floor: float
    peak_megabytes: float
    artifact_megabytes: float
    load_seconds: float
    single_milliseconds: float
    batch_milliseconds: float
    surprise_trainset_seconds: float | None
    surprise_epoch_seconds: float | None
    surprise_seconds: float | None
    surprise_peak_megabytes: float | None


def render(figures: Sequence[TrainingFigures], algorithm: str, surprise_epochs: int) -> str:
    """Return the table, a column a size."""
    rows: list[tuple[str, Callable[[TrainingFigures], str]]] = [
        ("ratings", lambda f: f"{f.ratings:,}"),
        ("read from the database (s)", lambda f: f"{f.read_seconds:.1f}"),
        ("fit (s)", lambda f: f"{f.fit_seconds:.1f}"),
        ("database to published version (s)", lambda f: f"{f.train_seconds:.1f}"),
        ("  a million ratings (s)", lambda f: f"{f.train_seconds / f.ratings * 1e6:.2f}"),
        ("sweeps timed", lambda f: f"{f.sweeps}"),
        ("a sweep (s)", lambda f: f"{f.sweep_seconds:.3f}"),
        ("  a million ratings (s)", lambda f: f"{f.sweep_seconds / f.ratings * 1e6:.3f}"),
        ("RMSE, held out", lambda f: f"{f.rmse:.4f}"),
        ("  noise floor", lambda f: f"{f.noise_floor:.4f}"),
        ("peak memory (MB)", lambda f: f"{f.peak_megabytes:,.0f}"),
        ("version on disk (MB)", lambda f: f"{f.artifact_megabytes:.1f}"),
        ("load to first scores (s)", lambda f: f"{f.load_seconds:.2f}"),
        ("a user's scores, alone (ms)", lambda f: f"{f.single_milliseconds:.2f}"),
        ("a user's scores, of 64 (ms)", lambda f: f"{f.batch_milliseconds:.3f}"),
    ]
    if surprise_epochs:
        rows += [
            ("Surprise: trainset (s)", lambda f: _number(f.surprise_trainset_seconds)),
            ("Surprise: an epoch (s)", lambda f: _number(f.surprise_epoch_seconds)),
            ("Surprise: trainset + 20 epochs (s)", lambda f: _number(f.surprise_seconds)),
            ("Surprise: peak memory (MB)", lambda f: _number(f.surprise_peak_megabytes)),
            ("our time / Surprise's", lambda f: f"{f.train_seconds / (f.surprise_seconds or np.nan):.3f}"),
        ]
    lines = [
        f"Training {algorithm} on generated data of ML-20M's shape, 1 rating in {HELD_OUT_ONE_IN} held out."
    ]
    if surprise_epochs:
        lines.append(f"Surprise's SVD: {surprise_epochs} epoch(s) run, 20 worked out from them.")
    lines.append("")
    lines += [f"{label:<36}" + "".join(f"{show(row):>14}" for row in figures) for label, show in rows]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
