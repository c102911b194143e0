"""The steps of a measurement; each runs in a process of its own and returns figures by name."""

import re
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from shared.algorithms import config_class
from shared.artifacts.store import ArtifactStore
from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.formats import read_dataset
from shared.progress import Step
from worker.evaluation.cross_validation import part_of, predict
from worker.models.base import Model
from worker.models.ratings import RatingsBatch, ratings_batch
from worker.models.training_data import TrainingData
from worker.serving import LoadedModel
from worker.training.pipeline import train, training_data

HELD_OUT_ONE_IN = 100
_TESTED_USERS = 5_000
"""Users whose held-out ratings are estimated."""


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _database(directory: Path) -> str:
    return f"sqlite:///{directory.resolve() / 'bench.db'}"


def _is_held_out(n_ratings: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return np.random.default_rng(0).random(n_ratings) < 1 / HELD_OUT_ONE_IN


def import_dataset(directory: Path) -> None:
    """Import what is not held out."""
    engine = open_database(_database(directory))
    dataset = read_dataset(directory / "files")
    kept = dataset.ratings[~_is_held_out(len(dataset.ratings))]
    bulk.replace_dataset(engine, replace(dataset, ratings=kept.reset_index(drop=True)), "bench")
    engine.dispose()


def train_model(directory: Path, algorithm: str) -> dict[str, float]:
    """Train and publish a version."""
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


def test_model(directory: Path) -> dict[str, float]:
    """Measure the latest version: its error on the held-out ratings, and how fast it answers."""
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


def train_surprise(directory: Path, epochs: int) -> dict[str, float]:
    """Train Surprise's SVD on the imported ratings."""
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
