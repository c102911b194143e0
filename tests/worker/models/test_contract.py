"""What every model promises, whatever its mathematics."""

from pathlib import Path

import numpy as np
import pytest

from shared.algorithms import CONFIGS, AlgorithmConfig
from shared.errors import ArtifactError, ConfigurationError
from worker.models.base import Model
from worker.models.ratings import RatingsBatch, ratings_batch
from worker.models.registry import MODELS, model_class
from worker.models.training_data import ModelMovies, TrainingData
from worker.top_k import top_k

N_USERS, N_MOVIES = 40, 30
QUICK: dict[str, dict[str, int]] = {
    "svd": {"n_factors": 4, "n_epochs": 60},
    "bayes": {"n_factors": 4, "n_sweeps": 40, "n_samples": 8, "rated_rank": 4},
}
"""Parameters that are enough for a checkerboard."""


def training_data(users: list[int], movies: list[int], ratings: list[float], n_movies: int) -> TrainingData:
    order = np.lexsort((movies, users))
    user_ids, user_places = np.unique(np.array(users)[order], return_inverse=True)
    counts = np.bincount(movies, minlength=n_movies).astype(np.int32)
    return TrainingData(
        catalogue=ModelMovies(
            movie_ids=np.arange(100, 100 + n_movies, dtype=np.int32),
            rating_counts=counts,
            genres=["Drama"] * n_movies,
            years=np.full(n_movies, 1990, dtype=np.int16),
        ),
        user_ids=(user_ids + 1).astype(np.int32),
        users=user_places.astype(np.int32),
        movies=np.array(movies, dtype=np.int32)[order],
        ratings=np.array(ratings, dtype=np.float32)[order],
        timestamps=np.full(len(users), 10**9, dtype=np.int64),
        scale=(0.5, 5.0),
    )


def checkerboard() -> TrainingData:
    """Users like movies of their own parity, five stars to one; a fifth of the board is left out."""
    cells = [
        (user, movie) for user in range(N_USERS) for movie in range(N_MOVIES) if (user * 7 + movie * 3) % 5
    ]
    users, movies = [user for user, _ in cells], [movie for _, movie in cells]
    ratings = [5.0 if (user + movie) % 2 == 0 else 1.0 for user, movie in cells]
    return training_data(users, movies, ratings, N_MOVIES)


def config(algorithm: str) -> AlgorithmConfig:
    return CONFIGS[algorithm].model_validate(QUICK.get(algorithm, {}))


def batch_of(data: TrainingData, users: list[int]) -> RatingsBatch:
    of_them = np.isin(data.users, users)
    return ratings_batch(
        data.user_ids[users].tolist(),
        data.user_ids[data.users[of_them]],
        data.catalogue.movie_ids[data.movies[of_them]],
        data.ratings[of_them],
    )


@pytest.fixture(scope="module", params=sorted(MODELS))
def algorithm(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def board() -> TrainingData:
    return checkerboard()


@pytest.fixture(scope="module")
def model(algorithm: str, board: TrainingData) -> Model:
    return model_class(algorithm).fit(board, config(algorithm))


def test_the_registry_knows_what_can_be_configured() -> None:
    assert set(MODELS) == set(CONFIGS)
    with pytest.raises(ConfigurationError, match="choose one of"):
        model_class("nonsense")


def test_unknown_parameters_are_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match="extra"):
        CONFIGS[algorithm].model_validate({"n_magic": 3})


def test_the_board_is_learned(model: Model, board: TrainingData) -> None:
    scores = model.score(batch_of(board, list(range(N_USERS))))
    likes = np.add.outer(np.arange(N_USERS), np.arange(N_MOVIES)) % 2 == 0
    assert scores[likes].min() > scores[~likes].max()


def test_a_visitor_is_folded_in(model: Model, board: TrainingData) -> None:
    known = batch_of(board, [4])
    visitor = RatingsBatch(
        np.zeros(1, dtype=np.int32), known.indptr, known.movie_ids, known.ratings, known.timestamps
    )
    scores = model.score(visitor)[0]
    assert scores[::2].min() > scores[1::2].max()


def test_a_batch_equals_its_parts(model: Model, board: TrainingData) -> None:
    users = [0, 3, 11, 12, 39]
    together = model.score(batch_of(board, users))
    for row, user in enumerate(users):
        np.testing.assert_allclose(together[row], model.score(batch_of(board, [user]))[0], atol=1e-4, rtol=0)


def test_the_best_movies_are_the_same_to_the_last_digit_in_any_batch(
    model: Model, board: TrainingData
) -> None:
    users = list(range(N_USERS))
    together = model.best(batch_of(board, users), 10)
    for part in (1, 3, 16):
        for start in range(0, N_USERS, part):
            some = users[start : start + part]
            for user, (columns, scores) in zip(some, model.best(batch_of(board, some), 10), strict=True):
                np.testing.assert_array_equal(columns, together[user][0])
                np.testing.assert_array_equal(scores, together[user][1])


def test_the_best_movies_are_those_with_the_best_scores(model: Model, board: TrainingData) -> None:
    users = [0, 7, 20]
    batch = batch_of(board, users)
    scores = model.score(batch)
    for row, (columns, best) in enumerate(model.best(batch, 4)):
        rated = model.columns(batch.movie_ids[batch.indptr[row] : batch.indptr[row + 1]])
        hidden = scores[row].copy()
        hidden[rated] = -np.inf
        assert not set(columns) & set(rated)
        np.testing.assert_allclose(best, np.sort(hidden)[::-1][:4], atol=1e-4)
        np.testing.assert_allclose(best, scores[row][columns], atol=1e-4)
        assert (np.diff(best) <= 0).all()


def test_of_equal_movies_the_better_known_are_best(model: Model, board: TrainingData) -> None:
    """All movies look alike to a model that has learned from equal ratings alone."""
    data = training_data([0, 0, 1, 1], [0, 1, 0, 1], [3.0, 3.0, 3.0, 3.0], n_movies=6)
    fitted = type(model).fit(data, config(type(model).algorithm))
    ((columns, scores),) = fitted.best(ratings_batch([0], [], [], []), 6)
    for this, following in zip(range(5), range(1, 6), strict=True):
        assert scores[this] > scores[following] or columns[this] < columns[following]


def test_order_within_a_batch_does_not_matter(model: Model, board: TrainingData) -> None:
    batch = batch_of(board, [1, 2, 3])
    np.testing.assert_allclose(
        model.score(batch.select([2, 0, 1])), model.score(batch)[[2, 0, 1]], atol=1e-4, rtol=0
    )


def test_a_user_without_ratings_is_an_average_one(model: Model) -> None:
    scores = model.score(ratings_batch([0], [], [], []))
    assert scores.shape == (1, N_MOVIES)
    assert np.isfinite(scores).all()
    if model.scale is not None:
        assert abs(float(scores.mean()) - 3.0) < 0.5


def test_unknown_movies_are_ignored(model: Model) -> None:
    nothing = model.score(ratings_batch([0], [], [], []))
    unknown = model.score(ratings_batch([999], [999, 999], [7, 2**31 - 1], [5.0, 1.0]))
    np.testing.assert_allclose(unknown, nothing, atol=1e-6)


def test_an_empty_batch_is_no_error(model: Model) -> None:
    assert model.score(ratings_batch([], [], [], [])).shape == (0, N_MOVIES)


def test_scores_are_floats_one_a_movie(model: Model, board: TrainingData) -> None:
    scores = model.score(batch_of(board, [0, 1]))
    assert scores.dtype in (np.float32, np.float64)
    assert scores.shape == (2, N_MOVIES)


def test_scores_in_stars_are_clipped_to_the_scale_and_others_left_alone(
    model: Model, board: TrainingData
) -> None:
    scores = model.score(batch_of(board, [0, 1]))
    assert model.scale in {board.scale, None}
    low, high = model.scale or (-np.inf, np.inf)
    clipped = model.clip(scores * 10 - 20)
    assert clipped.dtype == scores.dtype
    np.testing.assert_array_equal(clipped, np.minimum(np.maximum(scores * 10 - 20, low), high))


def test_more_than_the_catalogue_can_be_asked_for(model: Model, board: TrainingData) -> None:
    scores = model.score(batch_of(board, [0]))[0]
    best = top_k(scores, 1000)
    assert sorted(best.tolist()) == list(range(N_MOVIES))
    assert (np.diff(scores[best]) <= 0).all()
    ((columns, _),) = model.best(ratings_batch([0], [], [], []), 1000)
    assert sorted(columns.tolist()) == list(range(N_MOVIES))


def test_columns_find_movies(model: Model) -> None:
    found = model.columns(np.array([129, 100, 99, 130, 0, -1, 2**31 - 1], dtype=np.int32))
    assert found.dtype == np.intp
    assert found.tolist() == [29, 0, -1, -1, -1, -1, -1]


def test_what_is_saved_is_loaded(model: Model, board: TrainingData, tmp_path: Path) -> None:
    model.save(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    loaded = type(model).load(tmp_path)
    batch = batch_of(board, [0, 5])
    np.testing.assert_array_equal(loaded.score(batch), model.score(batch))
    assert loaded.scale == model.scale


def test_a_broken_directory_is_an_error_of_ours(algorithm: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="usable"):
        model_class(algorithm).load(tmp_path)
    model.save(tmp_path)
    next(tmp_path.glob(f"{algorithm}.*.npy")).unlink()
    with pytest.raises(ArtifactError, match="usable"):
        model_class(algorithm).load(tmp_path)


def test_the_same_seed_gives_the_same_model(algorithm: str, board: TrainingData, model: Model) -> None:
    again = model_class(algorithm).fit(board, config(algorithm))
    for name, array in model.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_another_seed_gives_another_model(algorithm: str, board: TrainingData, model: Model) -> None:
    other = model_class(algorithm).fit(board, config(algorithm).model_copy(update={"seed": 5}))
    batch = batch_of(board, [0])
    assert not np.array_equal(other.score(batch), model.score(batch))


@pytest.mark.parametrize(
    ("users", "movies", "ratings"),
    [
        ([0], [0], [4.0]),  # a single rating
        ([0, 0, 0], [0, 1, 2], [4.0, 2.0, 5.0]),  # a single user
        ([0, 1, 2], [0, 0, 0], [4.0, 2.0, 5.0]),  # a single movie
        ([0, 0, 1, 1], [0, 1, 0, 1], [3.0, 3.0, 3.0, 3.0]),  # all equal
    ],
)
def test_little_data_gives_a_sound_model(
    algorithm: str, users: list[int], movies: list[int], ratings: list[float]
) -> None:
    data = training_data(users, movies, ratings, n_movies=4)
    fitted = model_class(algorithm).fit(data, config(algorithm))
    assert np.isfinite(fitted.score(batch_of(data, [0]))).all()
