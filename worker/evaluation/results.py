"""Figures of an evaluation."""

from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

METRICS = ("rmse", "mae", "fit_seconds", "test_seconds")
"""What is measured on each fold, in the order of the tables."""


@dataclass(frozen=True)
class FoldResult:
    """One algorithm on one fold.

    Attributes
    ----------
    rmse, mae : float
        Errors of the test ratings' estimates, clipped to the scale, in stars.
    fit_seconds, test_seconds : float
        Wall time.
    """

    rmse: float
    mae: float
    fit_seconds: float
    test_seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Algorithms compared on the same folds.

    Attributes
    ----------
    dataset : str
        Name.
    n_users, n_movies, n_ratings : int
        Rated ones.
    n_folds, seed : int
        Of the split.
    results : dict of str to list of FoldResult
        By algorithm, a result each fold.
    """

    dataset: str
    n_users: int
    n_movies: int
    n_ratings: int
    n_folds: int
    seed: int
    results: dict[str, list[FoldResult]]

    def values(self, algorithm: str, metric: str) -> list[float]:
        """Return a metric of each fold."""
        return [getattr(fold, metric) for fold in self.results[algorithm]]

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        return {
            "dataset": self.dataset,
            "n_users": self.n_users,
            "n_movies": self.n_movies,
            "n_ratings": self.n_ratings,
            "folds": self.n_folds,
            "seed": self.seed,
            "results": [
                {
                    "algorithm": algorithm,
                    **{metric: summary(self.values(algorithm, metric)) for metric in METRICS},
                }
                for algorithm in self.results
            ],
        }


def summary(values: list[float]) -> dict[str, Any]:
    """Return mean, standard deviation (of the population, as Surprise's) and the values."""
    return {"mean": fmean(values), "std": pstdev(values), "folds": values}
