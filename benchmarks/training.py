"""How long training takes, against scikit-surprise on the same ratings: ``movierec bench training``.

For each size a data set of ML-20M's shape is generated once. One rating in a hundred is held out, the rest
is imported; then, each in a process of its own so that its memory can be told,

- the model is trained as ``movierec train`` does it, from database to published version, and its error
  on the held-out ratings is compared with the noise that the generator put in;
- Surprise builds its trainset and runs some epochs, of which the time of 20 is worked out.
"""

import json
import multiprocessing
import re
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from shared.algorithms import config_class
from shared.artifacts.store import ArtifactStore
from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.formats import read_dataset
from shared.datasets.generate import SUMMARY_FILE, generate
from shared.progress import Progress, Step
from worker.evaluation.cross_validation import part_of, predict
from worker.models.base import Model
from worker.models.ratings import RatingsBatch, ratings_batch
from worker.models.training_data import TrainingData
from worker.serving import LoadedModel
from worker.training.pipeline import train, training_data

P = ParamSpec("P")
R = TypeVar("R")

SURPRISE_EPOCHS_OF_A_FIT = 20
_HELD_OUT_ONE_IN = 100
_TESTED_USERS = 5_000
"""Users whose held-out ratings are estimated."""
_USERS_OF_20M, _MOVIES_OF_20M, _RATINGS_OF_20M = 138_493, 27_278, 20_000_263


@dataclass(frozen=True)
class TrainingFigures:
    """What was measured at one size.

    Attributes
    ----------
    ratings : int
        Ratings trained on.
    read_seconds, fit_seconds, train_seconds : float
        Reading the database; fitting; everything from the database to the published version.
    sweep_seconds : float
        Of one pass over all ratings, median.
    sweeps : int
        Passes that were timed; the first one, which includes the set-up, is not.
    rmse, noise_floor : float
        On the held-out ratings; and of the generator's true means, which no model can beat.
    peak_megabytes : float
        Of the whole training process.
    artifact_megabytes : float
        On disk.
    load_seconds : float
        Checking, mapping and a first user's scores.
    single_milliseconds, batch_milliseconds : float
        Scores of one user over all movies: alone, and a user's share in a batch of 64; medians, one thread.
    surprise_trainset_seconds, surprise_epoch_seconds, surprise_seconds : float or None
        Building the trainset, one epoch, and both for 20 epochs; None if it was left out.
    surprise_peak_megabytes : float or None
        Of the whole process.
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


def run(
    sizes: Sequence[int],
    *,
    algorithm: str,
    surprise_epochs: int,
    directory: Path,
    results: Path,
    progress: Progress,
) -> str:
    """Measure each size and return the table.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of ratings.
    algorithm : str
        What to train.
    surprise_epochs : int
        Epochs of Surprise that are really run; 0 leaves it out.
    directory : Path
        Where data sets are generated and kept.
    results : Path
        Where ``bench_training.txt`` and ``.json`` go.
    progress : callable
        Told about each step.
    """
    figures = []
    for number, size in enumerate(sizes):
        progress(Step("measuring", number, len(sizes), "size"))
        figures.append(_measure(size, algorithm, surprise_epochs, directory / f"bench-{size}", progress))
        table = render(figures, algorithm, surprise_epochs)
        results.mkdir(parents=True, exist_ok=True)
        (results / "bench_training.txt").write_text(table, encoding="utf-8")
        document = {"algorithm": algorithm, "sizes": [asdict(row) for row in figures]}
        (results / "bench_training.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    progress(Step("measuring", len(sizes), len(sizes), "size"))
    return table


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
        f"Training {algorithm} on generated data of ML-20M's shape, 1 rating in {_HELD_OUT_ONE_IN} held out."
    ]
    if surprise_epochs:
        lines.append(f"Surprise's SVD: {surprise_epochs} epoch(s) run, 20 worked out from them.")
    lines.append("")
    lines += [f"{label:<36}" + "".join(f"{show(row):>14}" for row in figures) for label, show in rows]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _measure(
    size: int, algorithm: str, surprise_epochs: int, directory: Path, progress: Progress
) -> TrainingFigures:
    share = size / _RATINGS_OF_20M
    if not (directory / "files" / SUMMARY_FILE).exists():
        directory.mkdir(parents=True, exist_ok=True)
        generate(
            directory / "files",
            n_ratings=size,
            n_users=max(100, round(_USERS_OF_20M * share)),
            n_movies=max(200, min(_MOVIES_OF_20M, round(_MOVIES_OF_20M * share**0.5))),
            progress=progress,
        )
    progress(Step(f"importing {size:,} ratings", 0))
    _alone(_import, directory)
    progress(Step(f"training {algorithm} on {size:,} ratings", 0))
    ours = _alone(_train, directory, algorithm)
    progress(Step(f"testing {algorithm} on {size:,} ratings", 0))
    tested = _alone(_test, directory)
    surprise: dict[str, float] = {}
    if surprise_epochs:
        progress(Step(f"Surprise on {size:,} ratings", 0))
        surprise = _alone(_surprise, directory, surprise_epochs)
    epoch, trainset = surprise.get("epoch_seconds"), surprise.get("trainset_seconds")
    return TrainingFigures(
        **ours,  # type: ignore[arg-type]
        **tested,  # type: ignore[arg-type]
        noise_floor=json.loads((directory / "files" / SUMMARY_FILE).read_text(encoding="utf-8"))[
            "noise_floor"
        ],
        surprise_trainset_seconds=trainset,
        surprise_epoch_seconds=epoch,
        surprise_seconds=None
        if epoch is None or trainset is None
        else trainset + SURPRISE_EPOCHS_OF_A_FIT * epoch,
        surprise_peak_megabytes=surprise.get("peak_megabytes"),
    )


def _alone(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _database(directory: Path) -> str:
    return f"sqlite:///{directory.resolve() / 'bench.db'}"


def _is_held_out(n_ratings: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return np.random.default_rng(0).random(n_ratings) < 1 / _HELD_OUT_ONE_IN


def _import(directory: Path) -> None:
    engine = open_database(_database(directory))
    dataset = read_dataset(directory / "files")
    kept = dataset.ratings[~_is_held_out(len(dataset.ratings))]
    bulk.replace_dataset(engine, replace(dataset, ratings=kept.reset_index(drop=True)), "bench")
    engine.dispose()


def _train(directory: Path, algorithm: str) -> dict[str, float]:
    ends: list[float] = []

    def listen(step: Step) -> None:
        if re.fullmatch(rf"training {algorithm}", step.phase):
            ends.append(time.perf_counter())

    engine = open_database(_database(directory))
    store = ArtifactStore(directory / "model")
    started = time.perf_counter()
    manifest = train(engine, store, config_class(algorithm)(), keep=1, progress=listen)
    seconds = time.perf_counter() - started
    files = [store.path(manifest.version) / name for name in manifest.files]
    sweeps = np.diff(ends)
    return {
        "ratings": manifest.data.n_ratings,
        "read_seconds": manifest.metrics["read_seconds"],
        "fit_seconds": manifest.metrics["fit_seconds"],
        "train_seconds": seconds,
        "sweep_seconds": float(np.median(sweeps)),
        "sweeps": len(sweeps),
        "peak_megabytes": _peak_megabytes(),
        "artifact_megabytes": sum(path.stat().st_size for path in files) / 1e6,
    }


def _test(directory: Path) -> dict[str, float]:
    data = training_data(read_dataset(directory / "files"))
    store = ArtifactStore(directory / "model")
    version = store.current_version()
    assert version is not None
    threadpool_limits(1)  # as in a serving worker
    started = time.perf_counter()
    model = LoadedModel.load(store, version).model
    model.score(_users(data, [0]))
    load_seconds = time.perf_counter() - started
    figures = {
        "load_seconds": load_seconds,
        "single_milliseconds": _median_milliseconds(model, [_users(data, [user]) for user in range(30)]),
        "batch_milliseconds": _median_milliseconds(
            model, [_users(data, list(range(start, start + 64))) for start in range(0, 64 * 10, 64)]
        )
        / 64,
    }
    is_test = _is_held_out(len(data.ratings))
    some = np.random.default_rng(1).permutation(len(data.user_ids))[:_TESTED_USERS]
    of_these = np.isin(data.users, some)
    data, is_test = part_of(data, of_these), is_test[of_these]
    errors = predict(model, data, is_test).estimates - data.ratings[is_test]
    return figures | {"rmse": float(np.sqrt(np.mean(errors**2)))}


def _users(data: TrainingData, users: list[int]) -> RatingsBatch:
    """Return the batch of some users, as a worker would read it."""
    users = [user % len(data.user_ids) for user in users]
    of_them = np.isin(data.users, users)
    return ratings_batch(
        data.user_ids[users].tolist(),
        data.user_ids[data.users[of_them]],
        data.catalogue.movie_ids[data.movies[of_them]],
        data.ratings[of_them],
    )


def _median_milliseconds(model: Model, batches: list[RatingsBatch]) -> float:
    times = []
    for batch in batches:
        started = time.perf_counter()
        model.score(batch)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000


def _surprise(directory: Path, epochs: int) -> dict[str, float]:
    import pandas as pd
    import surprise

    engine = open_database(_database(directory))
    data = training_data(bulk.read_dataset(engine)[1])
    started = time.perf_counter()
    frame = pd.DataFrame({"user": data.users, "movie": data.movies, "rating": data.ratings})
    reader = surprise.Reader(rating_scale=data.scale)
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    built = time.perf_counter()
    surprise.SVD(n_epochs=epochs).fit(trainset)
    return {
        "trainset_seconds": built - started,
        "epoch_seconds": (time.perf_counter() - built) / epochs,
        "peak_megabytes": _peak_megabytes(),
    }
