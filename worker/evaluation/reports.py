"""Tables and plots of an evaluation."""

import io
import json
import math
import re
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from shared.result_files import write_files
from worker.evaluation.results import METRICS, Contender, Evaluation, Split, summary


def render_algorithm(evaluation: Evaluation, contender: Contender) -> str:
    """Return the table of one algorithm in the form of Surprise's ``cross_validate``.

    A column a fold, then mean and standard deviation.
    """
    n_columns = len(evaluation.results[contender])
    lines = [
        f"Evaluating RMSE, MAE of algorithm {contender.title} on {n_columns} split(s).",
        *_describe(evaluation),
        "",
    ]
    folds = [f"Fold {number}" for number in range(1, n_columns + 1)]
    lines.append(" " * 16 + "".join(f"{head:>9}" for head in [*folds, "Mean", "Std"]))
    for metric in METRICS:
        figures = summary(evaluation.values(contender, metric.name))
        values = [*figures["folds"], figures["mean"], figures["std"]]
        lines.append(f"{metric.label:<16}" + "".join(_cell(value, 9, metric.digits) for value in values))
    return "\n".join(lines) + "\n"


def render_comparison(evaluation: Evaluation) -> str:
    """Return means side by side, a column an algorithm, and the RMSE relative to the first one."""
    width = max(12, *(len(contender.title) + 2 for contender in evaluation.results))
    titles = [contender.title for contender in evaluation.results]
    lines = [*_describe(evaluation), "", " " * 22 + "".join(f"{title:>{width}}" for title in titles)]
    for metric in METRICS:
        means = [
            summary(evaluation.values(contender, metric.name))["mean"] for contender in evaluation.results
        ]
        lines.append(f"{metric.label:<22}" + "".join(_cell(mean, width, metric.digits) for mean in means))
        if metric.name == "rmse":
            changes = "".join(_change(mean / means[0] - 1, width) for mean in means)
            lines.append(f"{f'  against {titles[0]}':<22}" + changes)
    return "\n".join(lines) + "\n"


def _cell(value: float, width: int, digits: int) -> str:
    """Return a figure, or a dash for one that a model does not have."""
    return f"{'-':>{width}}" if math.isnan(value) else f"{value:>{width}.{digits}f}"


def _change(part: float, width: int) -> str:
    return f"{'-':>{width}}" if math.isnan(part) else f"{part * 100:>+{width - 1}.2f}%"


def render_table(evaluation: Evaluation) -> str:
    """Return the tables of all algorithms, and the comparison if there are several."""
    tables = [render_algorithm(evaluation, contender) for contender in evaluation.results]
    if len(tables) > 1:
        tables.append(render_comparison(evaluation))
    return "\n".join(tables)


def plot_comparison(evaluation: Evaluation) -> bytes:
    """Draw RMSE against fit time, a mark a fold, as PNG."""
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for contender in evaluation.results:
        axes.scatter(
            evaluation.values(contender, "fit_seconds"),
            evaluation.values(contender, "rmse"),
            label=contender.title,
            s=50,
            alpha=0.8,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
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

    Raises
    ------
    ConfigurationError
        If a directory cannot be written to.
    """
    document = evaluation.to_json()
    name = evaluation.dataset + ("" if evaluation.split is Split.RANDOM else f"_{evaluation.split}")
    contents: dict[str, bytes] = {}
    for contender, figures in zip(evaluation.results, document["results"], strict=True):
        stem = re.sub(r"[^\w.-]+", "_", f"performance_{contender.title}_{name}")
        contents[f"{stem}.txt"] = render_algorithm(evaluation, contender).encode()
        contents[f"{stem}.json"] = _json({**document, "results": [figures]})
    if len(evaluation.results) > 1:
        contents[f"comparison_{name}.txt"] = render_comparison(evaluation).encode()
        contents[f"comparison_{name}.png"] = plot_comparison(evaluation)
    paths = write_files(directory, contents)
    if json_file is not None:
        paths += write_files(json_file.parent, {json_file.name: _json(document)})
    return paths


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
