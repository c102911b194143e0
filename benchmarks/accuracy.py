"""Accuracy beside a Bayesian factorisation machine: ``movierec bench accuracy``.

Cross-validates ``svd``, ``bayes`` without side information and ``bayes`` on the same folds as the package
``myfm`` (rank 10, 600 draws of which the last 500 are kept, users and movies as its only features). myfm is
no dependency of movierec: ``.venv/bin/pip install myfm "setuptools<81"``; without it its row is left out.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.datasets.model import Dataset
from shared.progress import Progress, Step
from worker.evaluation import Contender, Split, cross_validate
from worker.evaluation.cross_validation import fold_numbers
from worker.evaluation.results import summary
from worker.models.base import TrainingData
from worker.training import training_data

CONTENDERS = {
    "svd": "svd (scikit-surprise)",
    "bayes:movie_features=false,rated_rank=0": "bayes, no side information",
    "bayes": "bayes",
}
_RANK, _DRAWS, _KEPT = 10, 600, 500


def run(dataset: Dataset, *, n_folds: int, seed: int, results: Path, progress: Progress) -> str:
    """Measure and return the table; it is also written to ``bench_accuracy.txt`` and ``.json``."""
    contenders = [Contender.parse(text, seed) for text in CONTENDERS]
    evaluation = cross_validate(dataset, contenders, n_folds=n_folds, seed=seed, progress=progress)
    rows: list[tuple[str, list[float], float]] = []
    for contender in contenders:
        label, seconds = CONTENDERS[contender.name], evaluation.values(contender, "fit_seconds")
        rows.append((label, evaluation.values(contender, "rmse"), float(np.mean(seconds))))
        if contender.name == "bayes":
            day_known = evaluation.values(contender, "rmse_day_known")
            rows.append((f"{label}, day of the rating known", day_known, float(np.mean(seconds))))
    rows += _myfm(training_data(dataset), n_folds, seed, progress)
    reference = summary(rows[0][1])["mean"]
    lines = [
        f"{dataset.name}: RMSE of {n_folds} random folds, seed {seed}; the same folds for all.",
        "",
        f"{'':<36}" + "".join(f"{f'Fold {fold + 1}':>9}" for fold in range(n_folds)),
    ]
    lines[-1] += f"{'Mean':>9}{'against svd':>13}{'fit (s)':>9}"
    for label, values, fit_seconds in rows:
        mean = summary(values)["mean"]
        folds = "".join(f"{value:>9.4f}" for value in values)
        change = f"{(mean / reference - 1) * 100:>+12.2f}%"
        lines.append(f"{label:<36}{folds}{mean:>9.4f}{change}{fit_seconds:>9.1f}")
    table = "\n".join(lines) + "\n"
    results.mkdir(parents=True, exist_ok=True)
    (results / "bench_accuracy.txt").write_text(table)
    document = {
        "dataset": dataset.name,
        "folds": n_folds,
        "seed": seed,
        "results": [{"model": label, "rmse": summary(values)} for label, values, _ in rows],
    }
    (results / "bench_accuracy.json").write_text(json.dumps(document, indent=2) + "\n")
    return table


def _myfm(
    data: TrainingData, n_folds: int, seed: int, progress: Progress
) -> list[tuple[str, list[float], float]]:
    try:
        from myfm import MyFMRegressor
    except ImportError:
        return []
    features = _one_hot(data)
    fold_of = fold_numbers(data, n_folds, seed, Split.RANDOM)
    errors, seconds = [], []
    for fold in range(n_folds):
        progress(Step("myfm", fold, n_folds, "fold"))
        is_test = fold_of == fold
        started = time.perf_counter()
        model: Any = MyFMRegressor(rank=_RANK, random_seed=seed)
        model.fit(features[~is_test], data.ratings[~is_test], n_iter=_DRAWS, n_kept_samples=_KEPT)
        seconds.append(time.perf_counter() - started)
        estimates: NDArray[np.float64] = np.clip(model.predict(features[is_test]), *data.scale)
        errors.append(float(np.sqrt(np.mean((estimates - data.ratings[is_test]) ** 2))))
    return [(f"myfm, rank {_RANK}, {_DRAWS} draws", errors, float(np.mean(seconds)))]


def _one_hot(data: TrainingData) -> sparse.csr_matrix:
    """Return a row a rating with a one for its user and one for its movie."""
    n = len(data.ratings)
    n_users, n_movies = len(data.user_ids), len(data.catalogue.movie_ids)
    columns = np.stack([data.users, data.movies + n_users], axis=1).ravel()
    return sparse.csr_matrix(
        (np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=(n, n_users + n_movies)
    )
