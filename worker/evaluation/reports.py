"""Tables of an evaluation, in the form of Surprise's ``cross_validate``."""

import json
from pathlib import Path

from shared.algorithms import config_class
from worker.evaluation.results import Evaluation, summary

_ROWS = (
    ("RMSE (testset)", "rmse", 4),
    ("MAE (testset)", "mae", 4),
    ("Fit time", "fit_seconds", 2),
    ("Test time", "test_seconds", 2),
)


def render_algorithm(evaluation: Evaluation, algorithm: str) -> str:
    """Return the table of one algorithm: a column a fold, then mean and standard deviation."""
    title = config_class(algorithm).title
    lines = [
        f"Evaluating RMSE, MAE of algorithm {title} on {evaluation.n_folds} split(s).",
        f"{evaluation.dataset}: {evaluation.n_ratings:,} ratings, {evaluation.n_users:,} users, "
        f"{evaluation.n_movies:,} movies; seed {evaluation.seed}.",
        "",
    ]
    folds = [f"Fold {number}" for number in range(1, evaluation.n_folds + 1)]
    lines.append(" " * 16 + "".join(f"{head:>9}" for head in [*folds, "Mean", "Std"]))
    for label, metric, digits in _ROWS:
        figures = summary(evaluation.values(algorithm, metric))
        values = [*figures["folds"], figures["mean"], figures["std"]]
        lines.append(f"{label:<16}" + "".join(f"{value:>9.{digits}f}" for value in values))
    return "\n".join(lines) + "\n"


def render_table(evaluation: Evaluation) -> str:
    """Return the tables of all algorithms."""
    return "\n".join(render_algorithm(evaluation, algorithm) for algorithm in evaluation.results)


def write_results(evaluation: Evaluation, directory: Path, json_file: Path | None) -> list[Path]:
    """Write a table and the same as JSON for each algorithm.

    Parameters
    ----------
    evaluation : Evaluation
        What was measured.
    directory : Path
        Where ``performance_SVD_<dataset>.txt`` and its like go.
    json_file : Path or None
        All algorithms in one file, if wanted.

    Returns
    -------
    list of Path
        What was written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    document = evaluation.to_json()
    paths = []
    for algorithm, figures in zip(evaluation.results, document["results"], strict=True):
        stem = f"performance_{config_class(algorithm).title}_{evaluation.dataset}"
        table, data = directory / f"{stem}.txt", directory / f"{stem}.json"
        table.write_text(render_algorithm(evaluation, algorithm))
        data.write_text(json.dumps({**document, "results": [figures]}, indent=2) + "\n")
        paths += [table, data]
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=2) + "\n")
        paths.append(json_file)
    return paths
