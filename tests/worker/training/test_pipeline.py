import numpy as np
import pandas as pd
import pytest

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.database.engine import open_database
from shared.datasets.model import Dataset
from shared.errors import DataError
from shared.progress import Step
from tests.conftest import Trained
from worker.training.pipeline import train, training_data


def dataset(ratings: list[tuple[int, int, float]], movie_ids: list[int]) -> Dataset:
    movies = pd.DataFrame({"movie_id": np.array(movie_ids, dtype=np.int32)})
    movies["title"] = "A (1990)"
    movies["year"] = pd.array([1990] * len(movies), dtype="Int16")
    movies["genres"] = "Drama"
    frame = pd.DataFrame(ratings, columns=["user_id", "movie_id", "rating"]).astype(
        {"user_id": "int32", "movie_id": "int32", "rating": "float32"}
    )
    return Dataset("tiny", movies, frame.assign(timestamp=np.int64(1)), pd.DataFrame())


def test_movies_are_ordered_best_known_first_then_by_id() -> None:
    data = training_data(dataset([(1, 7, 4), (1, 9, 3), (2, 9, 5), (4, 7, 1), (4, 3, 2)], [3, 5, 7, 9]))
    assert data.catalogue.movie_ids.tolist() == [7, 9, 3, 5]
    assert data.catalogue.rating_counts.tolist() == [2, 2, 1, 0]
    assert data.user_ids.tolist() == [1, 2, 4]
    assert data.catalogue.movie_ids[data.movies].tolist() == [7, 9, 9, 7, 3]
    assert data.users.tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("ratings", "expected"), [([1.0, 5.0], (1.0, 5.0)), ([0.5, 4.0], (0.5, 5.0)), ([3.0, 3.0], (1.0, 5.0))]
)
def test_the_scale_is_whole_or_half_stars(ratings: list[float], expected: tuple[float, float]) -> None:
    data = training_data(dataset([(1, 1, ratings[0]), (2, 1, ratings[1])], [1]))
    assert data.scale == expected


@pytest.mark.parametrize("rating", [float("nan"), 0.0, 5.5, float("inf")])
def test_ratings_that_are_none_are_refused(rating: float) -> None:
    with pytest.raises(DataError, match=r"from 0\.5 to 5"):
        training_data(dataset([(1, 1, 3), (2, 1, rating)], [1]))


def test_no_ratings_are_refused() -> None:
    with pytest.raises(DataError, match="no ratings"):
        training_data(dataset([], [1]))


def test_ratings_of_unlisted_movies_are_refused() -> None:
    with pytest.raises(DataError, match="not in its list"):
        training_data(dataset([(1, 8, 3)], [1]))


def test_a_training_publishes_what_it_was_trained_on(trained: Trained) -> None:
    manifest = trained.manifest
    assert trained.store.current_version() == manifest.version
    assert manifest.algorithm == "svd"
    assert manifest.parameters["n_epochs"] == 3
    assert manifest.data.revision == 1
    assert manifest.data.n_ratings > 1000
    assert manifest.metrics["fit_seconds"] > 0


def test_progress_counts_epochs(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> None:
    steps: list[Step] = []
    store = ArtifactStore(tmp_path_factory.mktemp("model"))
    train(trained.engine, store, SvdConfig(n_epochs=4, n_factors=2), keep=1, progress=steps.append)
    epochs = [step.done for step in steps if step.phase == "training svd"]
    assert epochs == sorted(epochs)
    assert set(epochs) == {0, 1, 2, 3, 4}


def test_an_empty_database_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("empty")
    engine = open_database(f"sqlite:///{directory / 'x.db'}")
    with pytest.raises(DataError, match="empty"):
        train(engine, ArtifactStore(directory / "model"), SvdConfig(), keep=1)
    engine.dispose()
    assert not any((directory / "model").iterdir())
