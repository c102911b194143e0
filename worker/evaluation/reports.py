"""Tables and plots of an evaluation."""

import io
import json
from pathlib import Path

from matplotlib.figure import Figure

from shared.algorithms import config_class
from worker.evaluation.results import METRICS, Evaluation, Split, summary


def render_algorithm(evaluation: Evaluation, algorithm: str) -> str:
    """Return the table of one algorithm in the form of Surprise's ``cross_validate``.

    A column a fold, then mean and standard deviation.
    """
    n_columns = len(evaluation.results[algorithm])
    title = config_class(algorithm).title
    lines = [
        f"Evaluating RMSE, MAE of algorithm {title} on {n_columns} split(s).",
        *_describe(evaluation),
        "",
    ]
    folds = [f"Fold {number}" for number in range(1, n_columns + 1)]
    lines.append(" " * 16 + "".join(f"{head:>9}" for head in [*folds, "Mean", "Std"]))
    for metric in METRICS:
        figures = summary(evaluation.values(algorithm, metric.name))
        values = [*figures["folds"], figures["mean"], figures["std"]]
        lines.append(f"{metric.label:<16}" + "".join(f"{value:>9.{metric.digits}f}" for value in values))
    return "\n".join(lines) + "\n"


def render_comparison(evaluation: Evaluation) -> str:
    """Return means side by side, a column an algorithm, and the RMSE relative to the first one."""
    titles = [config_class(algorithm).title for algorithm in evaluation.results]
    lines = [*_describe(evaluation), "", " " * 22 + "".join(f"{title:>12}" for title in titles)]
    for metric in METRICS:
        means = [
            summary(evaluation.values(algorithm, metric.name))["mean"] for algorithm in evaluation.results
        ]
        lines.append(f"{metric.label:<22}" + "".join(f"{mean:>12.{metric.digits}f}" for mean in means))
        if metric.name == "rmse":
            changes = "".join(f"{(mean / means[0] - 1) * 100:>+11.2f}%" for mean in means)
            lines.append(f"{f'  against {titles[0]}':<22}" + changes)
    return "\n".join(lines) + "\n"


def render_table(evaluation: Evaluation) -> str:
    """Return the tables of all algorithms, and the comparison if there are several."""
    tables = [render_algorithm(evaluation, algorithm) for algorithm in evaluation.results]
    if len(tables) > 1:
        tables.append(render_comparison(evaluation))
    return "\n".join(tables)


def plot_comparison(evaluation: Evaluation) -> bytes:
    """Draw RMSE against fit time, a mark a fold, as PNG."""
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for algorithm in evaluation.results:
        axes.scatter(
            evaluation.values(algorithm, "fit_seconds"),
            evaluation.values(algorithm, "rmse"),
            label=config_class(algorithm).title,
            s=50,
            alpha=0.8,
        )
    axes.set_xscale("log")
    axes.set_xlabel("fit time (s, logarithmic)")
    axes.set_ylabel("RMSE of the test part (stars)")
    axes.set_title(f"{evaluation.dataset}, {evaluation.split} split: a mark a fold")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def write_results(evaluation: Evaluation, directory: Path, json_file: Path | None) -> list[Path]:
    """Write a table and the same as JSON for each algorithm, and a comparison if there are several.

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
    name = evaluation.dataset + ("" if evaluation.split is Split.RANDOM else f"_{evaluation.split}")
    contents: dict[Path, bytes] = {}
    for algorithm, figures in zip(evaluation.results, document["results"], strict=True):
        stem = f"performance_{config_class(algorithm).title}_{name}"
        contents[directory / f"{stem}.txt"] = render_algorithm(evaluation, algorithm).encode()
        contents[directory / f"{stem}.json"] = _json({**document, "results": [figures]})
    if len(evaluation.results) > 1:
        contents[directory / f"comparison_{name}.txt"] = render_comparison(evaluation).encode()
        contents[directory / f"comparison_{name}.png"] = plot_comparison(evaluation)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        contents[json_file] = _json(document)
    for path, content in contents.items():
        path.write_bytes(content)
    return list(contents)


def _describe(evaluation: Evaluation) -> list[str]:
    how = (
        f"random split, seed {evaluation.seed}"
        if evaluation.split is Split.RANDOM
        else f"trained on the past, tested on the newest 1/{evaluation.n_folds}; seed {evaluation.seed}"
    )
    return [
        f"{evaluation.dataset}: {evaluation.n_ratings:,} ratings, {evaluation.n_users:,} users, "
        f"{evaluation.n_movies:,} rated movies; {how}."
    ]


def _json(document: object) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
