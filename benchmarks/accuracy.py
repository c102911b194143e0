"""Accuracy beside a Bayesian factorisation machine: ``movierec bench accuracy``.

Cross-validates ``svd``, ``bayes`` without side information and ``bayes`` on the same folds as the package
``myfm`` (rank 10, 600 draws of which the last 500 are kept, users and movies as its only features). myfm is
no dependency of movierec: ``.venv/bin/pip install myfm "setuptools<81"``; without it its row is left out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.datasets.model import Dataset
from shared.progress import Progress, Step
from shared.result_files import write_files
from worker.evaluation import Contender, Split, cross_validate
from worker.evaluation.cross_validation import fold_numbers
from worker.evaluation.results import summary
from worker.models.training_data import TrainingData
from worker.training.pipeline import training_data

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
    errors: dict[str, list[float]] = {}
    for contender in contenders:
        label = CONTENDERS[contender.name]
        errors[label] = evaluation.values(contender, "rmse")
        if contender.name == "bayes":
            errors[f"{label}, day of the rating known"] = evaluation.values(contender, "rmse_day_known")
    errors |= _myfm(training_data(dataset), n_folds, seed, progress)
    document = {
        "dataset": dataset.name,
        "folds": n_folds,
        "seed": seed,
        "results": [{"model": label, "rmse": summary(values)} for label, values in errors.items()],
    }
    table = render(document)
    files = {"bench_accuracy.json": json.dumps(document, indent=2) + "\n", "bench_accuracy.txt": table}
    write_files(results, {name: text.encode() for name, text in files.items()})
    return table


def render(document: dict[str, Any]) -> str:
    """Return the table of what ``bench_accuracy.json`` holds."""
    n_folds, rows = document["folds"], document["results"]
    reference = rows[0]["rmse"]["mean"]
    heads = "".join(f"{f'Fold {fold + 1}':>9}" for fold in range(n_folds))
    lines = [
        f"{document['dataset']}: RMSE of {n_folds} random folds, seed {document['seed']}; the same for all.",
        "",
        f"{'':<34}{heads}{'Mean':>9}{'against svd':>13}",
    ]
    for row in rows:
        mean = row["rmse"]["mean"]
        folds = "".join(f"{value:>9.4f}" for value in row["rmse"]["folds"])
        lines.append(f"{row['model']:<34}{folds}{mean:>9.4f}{(mean / reference - 1) * 100:>+12.2f}%")
    return "\n".join(lines) + "\n"


def _myfm(data: TrainingData, n_folds: int, seed: int, progress: Progress) -> dict[str, list[float]]:
    try:
        from myfm import MyFMRegressor
    except ImportError:
        return {}
    features = _one_hot(data)
    fold_of = fold_numbers(data, n_folds, seed, Split.RANDOM)
    errors = []
    for fold in range(n_folds):
        progress(Step("myfm", fold, n_folds, "fold"))
        is_test = fold_of == fold
        model: Any = MyFMRegressor(rank=_RANK, random_seed=seed)
        model.fit(features[~is_test], data.ratings[~is_test], n_iter=_DRAWS, n_kept_samples=_KEPT)
        estimates: NDArray[np.float64] = np.clip(model.predict(features[is_test]), *data.scale)
        errors.append(float(np.sqrt(np.mean((estimates - data.ratings[is_test]) ** 2))))
    return {f"myfm, rank {_RANK}, {_DRAWS} draws": errors}


def _one_hot(data: TrainingData) -> sparse.csr_matrix:
    """Return a row a rating with a one for its user and one for its movie."""
    n = len(data.ratings)
    n_users, n_movies = len(data.user_ids), len(data.catalogue.movie_ids)
    columns = np.stack([data.users, data.movies + n_users], axis=1).ravel()
    return sparse.csr_matrix(
        (np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=(n, n_users + n_movies)
    )
