"""The results of an evaluation."""

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, pstdev
from typing import Any

from shared.algorithms import AlgorithmConfig, parse_config, split_parameter


class Split(StrEnum):
    """How ratings are split into training and test parts."""

    RANDOM = "random"
    TEMPORAL = "temporal"


@dataclass(frozen=True)
class Metric:
    """Something that is measured on each fold.

    Attributes
    ----------
    name : str
        Field of :class:`FoldResult`, and name in JSON.
    label : str
        In tables.
    digits : int
        After the point, in tables.
    """

    name: str
    label: str
    digits: int


METRICS = (
    Metric("rmse", "RMSE (testset)", 4),
    Metric("rmse_day_known", "RMSE, day known", 4),
    Metric("mae", "MAE (testset)", 4),
    Metric("ndcg_at_10", "NDCG@10", 4),
    Metric("ndcg_at_100", "NDCG@100", 4),
    Metric("recall_at_20", "Recall@20", 4),
    Metric("coverage", "Coverage@10", 4),
    Metric("fit_seconds", "Fit time", 2),
    Metric("test_seconds", "Test time", 2),
    Metric("peak_megabytes", "Peak MB (fit)", 0),
)


@dataclass(frozen=True)
class Contender:
    """An algorithm with its parameters, as it takes part in an evaluation.

    Attributes
    ----------
    name : str
        As it was asked for, e.g. ``svd`` or ``bayes:n_factors=8``.
    config : AlgorithmConfig
        Its parameters.
    """

    name: str
    config: AlgorithmConfig

    @property
    def title(self) -> str:
        """What tables and file names call it."""
        return f"{self.config.title}{self.name.removeprefix(self.config.algorithm)}".replace(":", " ")

    @classmethod
    def parse(cls, text: str, seed: int) -> "Contender":
        """Read ``NAME`` or ``NAME:PARAMETER=VALUE,...``.

        Raises
        ------
        ConfigurationError
            If the algorithm or a parameter is unknown.
        """
        algorithm, _, rest = text.partition(":")
        given = dict(split_parameter(part) for part in rest.split(",") if part)
        return cls(text, parse_config(algorithm, {"seed": seed, **given}))


@dataclass(frozen=True)
class FoldResult:
    """One algorithm on one fold.

    Attributes
    ----------
    rmse, mae : float
        Errors of the test ratings' estimates, clipped to the scale, in stars, as a worker estimates: for now.
        NaN of a model without a scale, which estimates nothing.
    rmse_day_known : float
        The same with what a model knows of the user's mood on the day of the test rating.
    ndcg_at_10, ndcg_at_100, recall_at_20, coverage : float
        See :mod:`worker.evaluation.ranking_metrics`.
    fit_seconds, test_seconds : float
        Wall time.
    peak_megabytes : float
        Most memory that the fit added to what the process had; 0 where the system does not tell.
    """

    rmse: float
    rmse_day_known: float
    mae: float
    ndcg_at_10: float
    ndcg_at_100: float
    recall_at_20: float
    coverage: float
    fit_seconds: float
    test_seconds: float
    peak_megabytes: float


@dataclass(frozen=True)
class Evaluation:
    """Algorithms compared on the same folds.

    Attributes
    ----------
    dataset : str
        Name.
    n_users, n_movies, n_ratings : int
        Rated ones.
    split : Split
        How the folds were made.
    n_folds, seed : int
        Of the split.
    results : dict of Contender to list of FoldResult
        A result each fold; a temporal split has one.
    """

    dataset: str
    n_users: int
    n_movies: int
    n_ratings: int
    split: Split
    n_folds: int
    seed: int
    results: dict[Contender, list[FoldResult]]

    def values(self, contender: Contender, metric: str) -> list[float]:
        """Return a metric of each fold."""
        return [getattr(fold, metric) for fold in self.results[contender]]

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        return {
            "dataset": self.dataset,
            "n_users": self.n_users,
            "n_movies": self.n_movies,
            "n_ratings": self.n_ratings,
            "split": self.split.value,
            "folds": self.n_folds,
            "seed": self.seed,
            "results": [
                {
                    "algorithm": contender.name,
                    "parameters": contender.config.model_dump(mode="json"),
                    **{
                        metric.name: _without_nan(summary(self.values(contender, metric.name)))
                        for metric in METRICS
                    },
                }
                for contender in self.results
            ],
        }


def summary(values: list[float]) -> dict[str, Any]:
    """Return mean, standard deviation (of the population, as Surprise's) and the values.

    All NaN for a metric that an algorithm does not have.
    """
    if any(map(math.isnan, values)):
        return {"mean": math.nan, "std": math.nan, "folds": values}
    return {"mean": fmean(values), "std": pstdev(values), "folds": values}


def _without_nan(figures: dict[str, Any]) -> dict[str, Any]:
    """Return a summary as JSON, which knows no NaN."""
    if math.isnan(figures["mean"]):
        return {"mean": None, "std": None, "folds": [None] * len(figures["folds"])}
    return figures
