"""k-fold cross-validation."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import joblib
import numpy as np
from numpy.typing import NDArray

from shared.algorithms import AlgorithmConfig
from shared.datasets.model import Dataset
from shared.errors import DataError
from shared.progress import Progress, Step, silent
from worker.evaluation.peak_memory import PeakMemory
from worker.evaluation.ranking_metrics import RELEVANT_STARS, RankingMetrics
from worker.evaluation.results import Contender, Evaluation, FoldResult, Split
from worker.models.base import Model
from worker.models.ratings import RatingsBatch
from worker.models.registry import model_class
from worker.models.training_data import TrainingData
from worker.training.pipeline import training_data

_BATCH_USERS = 64


def cross_validate(
    dataset: Dataset,
    contenders: Sequence[Contender],
    *,
    n_folds: int,
    seed: int,
    split: Split = Split.RANDOM,
    n_jobs: int = 1,
    progress: Progress = silent,
) -> Evaluation:
    """Split ratings and test every algorithm on the same parts.

    A model sees the training part only, and estimates a test rating from what its user rated there.

    Parameters
    ----------
    dataset : Dataset
        At least as many ratings as folds.
    contenders : sequence of Contender
        Algorithms with their parameters.
    n_folds : int
        Parts of equal size; each is tested once. With a temporal split only the newest part is: train on the
        past, test on the future.
    seed : int
        Of the random split.
    split : Split
        At random, or by time.
    n_jobs : int
        Folds at the same time, each in a process of its own.

    Raises
    ------
    DataError
        If there are fewer ratings than folds.
    """
    data = training_data(dataset)
    n_ratings = len(data.ratings)
    if n_ratings < n_folds:
        raise DataError(f"{dataset.name} has {n_ratings} ratings, too few for {n_folds} folds.")
    fold_of = fold_numbers(data, n_folds, seed, split)
    folds = range(n_folds) if split is Split.RANDOM else [n_folds - 1]
    tasks = [(contender, fold) for contender in contenders for fold in folds]
    names = ", ".join(contender.name for contender in contenders)

    def report(done: int) -> None:
        progress(Step(f"evaluating {names}", done, len(tasks), "fold"))

    report(0)
    results: dict[Contender, list[FoldResult]] = {contender: [] for contender in contenders}
    runs = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(_evaluate_fold)(
            data, fold_of == fold, contender.config, progress if n_jobs == 1 else silent
        )
        for contender, fold in tasks
    )
    for done, ((contender, _), result) in enumerate(zip(tasks, runs, strict=True), start=1):
        results[contender].append(result)
        report(done)
    return Evaluation(
        dataset=dataset.name,
        n_users=len(data.user_ids),
        n_movies=int(np.count_nonzero(data.catalogue.rating_counts)),
        n_ratings=n_ratings,
        split=split,
        n_folds=n_folds,
        seed=seed,
        results=results,
    )


def fold_numbers(data: TrainingData, n_folds: int, seed: int, split: Split) -> NDArray[np.int64]:
    """Return the fold of each rating; sizes differ by one at the most."""
    n_ratings = len(data.ratings)
    if split is Split.RANDOM:
        return np.random.default_rng(seed).permutation(np.arange(n_ratings) % n_folds)
    fold_of = np.empty(n_ratings, dtype=np.int64)
    fold_of[np.argsort(data.timestamps, kind="stable")] = np.arange(n_ratings) * n_folds // n_ratings
    return fold_of


def _evaluate_fold(
    data: TrainingData, is_test: NDArray[np.bool_], config: AlgorithmConfig, progress: Progress
) -> FoldResult:
    train = part_of(data, ~is_test)
    started = time.perf_counter()
    with PeakMemory() as memory:
        model = model_class(config.algorithm).fit(train, config, progress)
    fitted = time.perf_counter()
    prediction = predict(model, data, is_test)
    errors = prediction.estimates - data.ratings[is_test]
    errors_day_known = prediction.estimates_day_known - data.ratings[is_test]
    return FoldResult(
        rmse=float(np.sqrt(np.mean(errors**2))),
        rmse_day_known=float(np.sqrt(np.mean(errors_day_known**2))),
        mae=float(np.mean(np.abs(errors))),
        **prediction.ranking.means(),
        fit_seconds=fitted - started,
        test_seconds=time.perf_counter() - fitted,
        peak_megabytes=memory.megabytes,
    )


def part_of(data: TrainingData, chosen: NDArray[np.bool_]) -> TrainingData:
    """Return some of the ratings, with only the users that occur in them."""
    user_places, users = np.unique(data.users[chosen], return_inverse=True)
    return replace(
        data,
        user_ids=data.user_ids[user_places],
        users=users.astype(np.int32),
        movies=data.movies[chosen],
        ratings=data.ratings[chosen],
        timestamps=data.timestamps[chosen],
    )


@dataclass(frozen=True)
class Prediction:
    """A model's estimates of test ratings, and its rankings.

    Attributes
    ----------
    estimates, estimates_day_known : ndarray of float64, shape (n_test,)
        In the order of the ratings, clipped to the scale; for now, and for the day of each rating. NaN of a
        model without a scale.
    ranking : RankingMetrics
        Of every user who has test ratings.
    """

    estimates: NDArray[np.float64]
    estimates_day_known: NDArray[np.float64]
    ranking: RankingMetrics


def predict(model: Model, data: TrainingData, is_test: NDArray[np.bool_]) -> Prediction:
    """Estimate the test ratings, each from its user's other ratings, and rank the catalogue for each user.

    Parameters
    ----------
    model : Model
        Fitted to the other ratings, with the same movies in any order.
    data : TrainingData
        All ratings.
    is_test : ndarray of bool, shape (n_ratings,)
        Which ones are tested.
    """
    columns = model.columns(data.catalogue.movie_ids)
    estimates = np.full((2, int(np.count_nonzero(is_test))), np.nan)
    ranking = RankingMetrics(n_movies=len(data.catalogue.movie_ids))
    done = 0
    for users in _user_slices(data):
        test = is_test[users]
        batch = _batch(data, users, ~test)
        scores = model.score(batch)
        rows = (data.users[users] - data.users[users.start]).astype(np.intp)
        movies, stars = columns[data.movies[users]], data.ratings[users]
        part = scores[rows[test], movies[test]]
        if model.scale is not None:
            moments = model.offsets_at(batch, rows[test], data.timestamps[users][test])
            estimates[:, done : done + len(part)] = model.clip(np.stack([part, part + moments]))
        done += len(part)
        for row in range(len(batch)):
            own = slice(*np.searchsorted(rows, [row, row + 1]))
            liked = test[own] & (stars[own] >= RELEVANT_STARS)
            ranking.add(scores[row], movies[own][~test[own]], movies[own][liked])
    return Prediction(estimates[0], estimates[1], ranking)


def _user_slices(data: TrainingData) -> Iterator[slice]:
    """Yield slices of the ratings, each of a few hundred users."""
    bounds = np.searchsorted(data.users, np.arange(0, len(data.user_ids), _BATCH_USERS))
    for start, stop in zip(bounds, [*bounds[1:], len(data.users)], strict=True):
        yield slice(int(start), int(stop))


def _batch(data: TrainingData, users: slice, chosen: NDArray[np.bool_]) -> RatingsBatch:
    """Return the chosen ratings of a slice's users, all of them, also those of whom nothing was chosen."""
    first, last = data.users[users.start], data.users[users.stop - 1]
    owners = data.users[users][chosen] - first
    return RatingsBatch(
        user_ids=data.user_ids[first : last + 1],
        indptr=np.searchsorted(owners, np.arange(last - first + 2)).astype(np.int64),
        movie_ids=data.catalogue.movie_ids[data.movies[users][chosen]],
        ratings=data.ratings[users][chosen],
        timestamps=data.timestamps[users][chosen],
    )
