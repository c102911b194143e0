"""k-fold cross-validation."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import joblib
import numpy as np
from numpy.typing import NDArray

from shared.algorithms import config_class
from shared.datasets.model import Dataset
from shared.errors import DataError
from shared.progress import Progress, Step, silent
from worker.evaluation.results import Evaluation, FoldResult
from worker.models.base import Model, RatingsBatch, TrainingData
from worker.models.registry import model_class
from worker.training import training_data

_BATCH_USERS = 256


def cross_validate(
    dataset: Dataset,
    algorithms: Sequence[str],
    *,
    n_folds: int,
    seed: int,
    n_jobs: int = 1,
    progress: Progress = silent,
) -> Evaluation:
    """Split ratings at random and test every algorithm on every part.

    A model sees the other parts only, and estimates a test rating from what its user rated there.

    Parameters
    ----------
    dataset : Dataset
        At least as many ratings as folds.
    algorithms : sequence of str
        Names in the registry; their default parameters are used, with ``seed``.
    n_folds : int
        Parts.
    seed : int
        Of the split and of the models.
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
    # Sizes of the parts differ by one at the most.
    fold_of = np.random.default_rng(seed).permutation(np.arange(n_ratings) % n_folds)
    tasks = [(algorithm, fold) for algorithm in algorithms for fold in range(n_folds)]

    def report(done: int) -> None:
        progress(Step(f"evaluating {', '.join(algorithms)}", done, len(tasks), "fold"))

    report(0)
    results: dict[str, list[FoldResult]] = {algorithm: [] for algorithm in algorithms}
    runs = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
        joblib.delayed(_evaluate_fold)(
            data, fold_of == fold, algorithm, seed, progress if n_jobs == 1 else silent
        )
        for algorithm, fold in tasks
    )
    for done, ((algorithm, _), result) in enumerate(zip(tasks, runs, strict=True), start=1):
        results[algorithm].append(result)
        report(done)
    return Evaluation(
        dataset=dataset.name,
        n_users=len(data.user_ids),
        n_movies=int(np.count_nonzero(data.catalogue.rating_counts)),
        n_ratings=n_ratings,
        n_folds=n_folds,
        seed=seed,
        results=results,
    )


def _evaluate_fold(
    data: TrainingData, is_test: NDArray[np.bool_], algorithm: str, seed: int, progress: Progress
) -> FoldResult:
    train = _part(data, ~is_test)
    started = time.perf_counter()
    model = model_class(algorithm).fit(train, config_class(algorithm)(seed=seed), progress)
    fitted = time.perf_counter()
    estimates = _estimate(model, data, is_test)
    errors = estimates - data.ratings[is_test]
    return FoldResult(
        rmse=float(np.sqrt(np.mean(errors**2))),
        mae=float(np.mean(np.abs(errors))),
        fit_seconds=fitted - started,
        test_seconds=time.perf_counter() - fitted,
    )


def _part(data: TrainingData, chosen: NDArray[np.bool_]) -> TrainingData:
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


def _estimate(model: Model, data: TrainingData, is_test: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Estimate the test ratings, in their order, each from its user's other ratings."""
    estimates = np.empty(int(np.count_nonzero(is_test)))
    done = 0
    for users in _user_slices(data):
        test = is_test[users]
        batch = _batch(data, users, ~test)
        scores = model.clip(model.score(batch))
        rows = data.users[users][test] - data.users[users.start]
        part = scores[rows, data.movies[users][test]]
        estimates[done : done + len(part)] = part
        done += len(part)
    return estimates


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
