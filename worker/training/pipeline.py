"""Trains a model on the ratings in the database, stores it as a version and publishes it."""

import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from shared.algorithms import AlgorithmConfig
from shared.artifacts.store import ArtifactStore, DataSummary, Manifest
from shared.database import bulk
from shared.datasets.model import Dataset
from shared.errors import DataError
from shared.processes.locks import ProcessLock
from shared.progress import Progress, Step, silent
from worker.ids import IdIndex
from worker.models.registry import model_class
from worker.models.training_data import ModelMovies, TrainingData
from worker.serving.identity import identities, save_identities
from worker.similarity.registry import fit_similarities

_HIGHEST_LISTED = 10_000_000
"""Id up to which movies are looked up in a table: 40 MB are little beside the ratings."""

_LIBRARIES = ("numpy", "scikit-learn", "scikit-surprise", "movierec")


def training_data(dataset: Dataset) -> TrainingData:
    """Turn a data set into arrays.

    Raises
    ------
    DataError
        If there are no ratings, or some are not finite numbers of stars.
    """
    frame = dataset.ratings
    if frame.empty:
        raise DataError(f"{dataset.name} has no ratings, so there is nothing to learn from.")
    ratings = frame["rating"].to_numpy()
    low, high = float(np.min(ratings)), float(np.max(ratings))
    if not (np.isfinite(ratings).all() and low >= 0.5 and high <= 5.0):
        raise DataError(f"Ratings must be numbers from 0.5 to 5; {dataset.name} has {low} to {high}.")
    owners = frame["user_id"].to_numpy()
    begins = np.concatenate([[True], owners[1:] != owners[:-1]])  # ratings are sorted by user
    user_ids, users = owners[begins], np.cumsum(begins, dtype=np.int32) - 1

    movie_frame = dataset.movies
    ids = movie_frame["movie_id"].to_numpy()
    places = IdIndex(ids, _HIGHEST_LISTED).find(frame["movie_id"].to_numpy())
    if (places < 0).any():
        raise DataError(f"{dataset.name} has ratings of movies that are not in its list of movies.")
    counts = np.bincount(places, minlength=len(ids))
    order = np.lexsort((ids, -counts))
    column = np.empty(len(ids), dtype=np.int32)
    column[order] = np.arange(len(ids), dtype=np.int32)

    catalogue = ModelMovies(
        movie_ids=ids[order].astype(np.int32),
        rating_counts=counts[order].astype(np.int32),
        genres=movie_frame["genres"].iloc[order].tolist(),
        years=movie_frame["year"].iloc[order].fillna(0).to_numpy(dtype=np.int16),
    )
    return TrainingData(
        catalogue=catalogue,
        user_ids=user_ids.astype(np.int32),
        users=users.astype(np.int32, copy=False),
        movies=column[places],
        ratings=ratings.astype(np.float32),
        timestamps=frame["timestamp"].to_numpy(dtype=np.int64),
        # ML-100k and ML-1M know whole stars from 1, all later sets half stars from 0.5.
        scale=(min(1.0, low), 5.0),
    )


def train(
    engine: Engine,
    store: ArtifactStore,
    config: AlgorithmConfig,
    *,
    keep: int,
    wait: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Train on what the database holds and publish the model, unless another process does.

    Parameters
    ----------
    engine : Engine
        Database with ratings.
    store : ArtifactStore
        Where the version goes; until it is complete, the old one stays current.
    config : AlgorithmConfig
        Algorithm and parameters.
    keep : int
        Versions that stay on disk.
    wait : bool
        Wait for another process that trains for the same store, instead of raising.
    progress : callable
        Told about each step.

    Returns
    -------
    Manifest
        Of the published version.

    Raises
    ------
    BusyError
        If another process trains.
    DataError
        If the database is empty, its ratings make no sense, or training ended with numbers that are not
        finite.
    ArtifactError
        If the version cannot be stored.
    """
    lock = ProcessLock(
        store.directory / "training.lock",
        f"Another training for {store.directory} is under way",
        "Wait for its end, or stop it.",
    )

    def waiting(holder: str) -> None:
        progress(Step(f"waiting for another training ({holder})", 0))

    with lock.held(waiting if wait else None):
        return _train(engine, store, config, keep=keep, progress=progress)


def _train(
    engine: Engine, store: ArtifactStore, config: AlgorithmConfig, *, keep: int, progress: Progress
) -> Manifest:
    started = time.perf_counter()
    progress(Step("reading ratings", 0))
    imported, dataset = bulk.read_dataset(engine)
    data = training_data(dataset)
    by_id = dataset.movies.set_index("movie_id").loc[data.catalogue.movie_ids]
    movies = identities(by_id["title"], by_id["genres"])
    del by_id, dataset  # twenty million ratings are half a gigabyte
    read = time.perf_counter()
    model = model_class(config.algorithm).fit(data, config, progress)
    try:
        model.check()  # before it is stored: no worker would serve it
    except ValueError as error:
        raise DataError(
            f"Training with {config.algorithm} ended with a model that nobody could use: {error}. "
            "Check its parameters: a smaller learning rate or stronger penalties may help."
        ) from None
    similarities = fit_similarities(data)
    fitted = time.perf_counter()

    def write(directory: Path) -> None:
        model.save(directory)
        for similarity in similarities.values():
            similarity.save(directory)
        save_identities(directory, movies)

    progress(Step("storing the model", 0))
    return store.publish(
        write,
        algorithm=config.algorithm,
        parameters=config.model_dump(mode="json"),
        data=DataSummary(
            name=imported.name,
            revision=imported.import_id,
            fingerprint=imported.fingerprint,
            n_users=len(data.user_ids),
            n_movies=len(data.catalogue.movie_ids),
            n_ratings=len(data.ratings),
        ),
        metrics={"read_seconds": round(read - started, 3), "fit_seconds": round(fitted - read, 3)},
        libraries={name: version(name) for name in _LIBRARIES},
        keep=keep,
    )
