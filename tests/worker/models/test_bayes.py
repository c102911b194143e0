"""The Bayesian model on planted data, where the truth and the noise floor are known."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.algorithms import BayesConfig
from shared.errors import ConfigurationError
from shared.progress import Step
from worker.models.bayes import training
from worker.models.bayes.chain import Chain
from worker.models.bayes.model import BayesModel
from worker.models.ratings import RatingsBatch
from worker.models.training_data import ModelMovies, TrainingData

NOISE = 0.5
SMALL = BayesConfig(n_factors=4, n_sweeps=24, burn_in=8, n_samples=4, rated_rank=4, holdout=0)


def training_data(
    users: NDArray[np.int32],
    movies: NDArray[np.int32],
    ratings: NDArray[np.float32],
    n_movies: int | None = None,
    timestamps: NDArray[np.int64] | None = None,
    genres: list[str] | None = None,
) -> TrainingData:
    n_movies = n_movies or int(movies.max()) + 1
    ids, dense = np.unique(users, return_inverse=True)
    order = np.argsort(dense, kind="stable")
    catalogue = ModelMovies(
        movie_ids=np.arange(100, 100 + n_movies, dtype=np.int32),
        rating_counts=np.bincount(movies, minlength=n_movies).astype(np.int32),
        genres=genres or [["Drama", "Comedy|Drama", ""][i % 3] for i in range(n_movies)],
        years=np.array([[0, 1990, 2005][i % 3] for i in range(n_movies)], dtype=np.int16),
    )
    return TrainingData(
        catalogue=catalogue,
        user_ids=(ids + 1).astype(np.int32),
        users=dense[order].astype(np.int32),
        movies=movies[order],
        ratings=ratings[order].astype(np.float32),
        timestamps=np.zeros(len(users), np.int64) if timestamps is None else timestamps[order],
        scale=(0.5, 5.0),
    )


def batch_of(data: TrainingData) -> RatingsBatch:
    return RatingsBatch(
        user_ids=data.user_ids,
        indptr=np.searchsorted(data.users, np.arange(len(data.user_ids) + 1)).astype(np.int64),
        movie_ids=data.catalogue.movie_ids[data.movies],
        ratings=data.ratings,
        timestamps=data.timestamps,
    )


@dataclass
class Planted:
    """Ratings of known expectation."""

    data: TrainingData
    truth: NDArray[np.float64]
    seen: NDArray[np.bool_]


@pytest.fixture(scope="module")
def planted() -> Planted:
    rng = np.random.default_rng(1)
    n_users, n_movies, k = 400, 200, 2
    truth = (
        3.5
        + rng.normal(0, 0.4, (n_users, 1))
        + rng.normal(0, 0.4, (1, n_movies))
        + rng.normal(0, 0.7, (n_users, k)) @ rng.normal(0, 0.7, (k, n_movies))
    )
    seen = rng.random(truth.shape) < 0.3
    users, movies = (axis.astype(np.int32) for axis in np.nonzero(seen))
    ratings = (truth[seen] + rng.normal(0, NOISE, len(users))).astype(np.float32)
    return Planted(training_data(users, movies, ratings), truth, seen)


@pytest.fixture(scope="module")
def model(planted: Planted) -> BayesModel:
    config = BayesConfig(n_factors=6, n_sweeps=60, burn_in=20, n_samples=8, rated_rank=8, holdout=0)
    return BayesModel.fit(planted.data, config)


def small_data(seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    seen = rng.random((40, 30)) < 0.4
    users, movies = (axis.astype(np.int32) for axis in np.nonzero(seen))
    ratings = rng.integers(1, 11, len(users)).astype(np.float32) / np.float32(2)
    return training_data(users, movies, ratings, n_movies=30)


def test_planted_factors_are_recovered_from_noise(planted: Planted, model: BayesModel) -> None:
    error = (model.score(batch_of(planted.data)) - planted.truth)[~planted.seen]
    # 60 ratings a user and 120 a movie for 3 unknowns each leave 0.15; the noise of a rating is 0.5.
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_standard_deviations_are_calibrated(planted: Planted, model: BayesModel) -> None:
    batch = batch_of(planted.data)
    std = model.score_std(batch)
    error = model.score(batch) - planted.truth
    assert 0.8 < np.sqrt(np.mean((error / std)[~planted.seen] ** 2)) < 1.3
    uncertain = std > np.quantile(std, 0.9)
    certain = std < np.quantile(std, 0.1)
    assert np.abs(error[uncertain]).mean() > 1.3 * np.abs(error[certain]).mean()


def test_standard_deviations_of_some_movies_are_those_of_all(planted: Planted, model: BayesModel) -> None:
    batch = batch_of(planted.data).select([3, 4])
    columns = np.array([7, 0, 150])
    np.testing.assert_allclose(model.score_std(batch, columns), model.score_std(batch)[:, columns], atol=1e-4)


def test_fewer_ratings_mean_more_doubt(model: BayesModel) -> None:
    ids = model.movie_ids[:60]
    many = RatingsBatch(
        np.array([0, 0, 0], np.int32),
        np.array([0, 0, 5, 65], np.int64),
        np.concatenate([ids[:5], ids]),
        np.full(65, 4, np.float32),
        np.zeros(65, np.int64),
    )
    none, few, most = model.score_std(many).mean(axis=1)
    assert none > few > most


def test_contributions_add_up_to_the_score(planted: Planted, model: BayesModel) -> None:
    batch = batch_of(planted.data).select([5, 9])
    unknown = replace(batch, movie_ids=np.where(np.arange(len(batch.movie_ids)) == 2, 1, batch.movie_ids))
    columns = np.array([0, 17, 199])
    base, parts = model.contributions(unknown, 0, columns)
    assert parts.shape == (3, unknown.indptr[1])
    assert not parts[:, 2].any()
    np.testing.assert_allclose(base + parts.sum(axis=1), model.score(unknown)[0, columns], atol=1e-3)


def test_a_contribution_is_what_a_star_would_change(planted: Planted, model: BayesModel) -> None:
    batch = batch_of(planted.data).select([5])
    columns = np.arange(200)
    _, parts = model.contributions(batch, 0, columns)
    raised = batch.ratings.copy()
    raised[0] += 0.01
    change = model.score(replace(batch, ratings=raised))[0] - model.score(batch)[0]
    # Slope of one rating: its part over its residual. The noise estimate moves a little, too.
    slopes = change / 0.01
    assert np.corrcoef(slopes, parts[:, 0])[0, 1] ** 2 > 0.95


@pytest.fixture(scope="module")
def first() -> BayesModel:
    return BayesModel.fit(small_data(), SMALL)


def same(a: BayesModel, b: BayesModel) -> bool:
    return all(np.array_equal(x, b.arrays()[name]) for name, x in a.arrays().items())


def test_the_same_seed_gives_the_same_model_to_the_bit(first: BayesModel) -> None:
    assert same(first, BayesModel.fit(small_data(), SMALL))
    assert not same(first, BayesModel.fit(small_data(), SMALL.model_copy(update={"seed": 1})))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(first: BayesModel, threads: int) -> None:
    assert same(first, BayesModel.fit(small_data(), SMALL.model_copy(update={"threads": threads})))


def test_folding_in_agrees_with_the_chain(planted: Planted) -> None:

    class Spy(Chain):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            chains.append(self)
            self.total: NDArray[np.floating] = np.zeros(planted.truth.shape)
            self.n_sweeps = 0

        def sweep(self) -> None:
            super().sweep()
            self.n_sweeps += 1
            if self.n_sweeps > 20:
                u, m = self.users.means, self.movies.rows
                self.total = self.total + u[:, :-1] @ m[:, :-1].T + u[:, -1:] + m[:, -1]

    chains: list[Spy] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Chain", Spy)
        config = BayesConfig(n_factors=4, n_sweeps=60, burn_in=20, n_samples=12, rated_rank=0, holdout=0)
        fitted = BayesModel.fit(planted.data, config)
    chain = chains[0].total / 40 + fitted.samples.global_mean
    scores = fitted.score(batch_of(planted.data))
    assert np.abs(scores - chain).mean() < 0.05
    assert np.corrcoef(scores.ravel(), chain.ravel())[0, 1] > 0.995


def test_a_noisy_user_is_found_out(model: BayesModel, planted: Planted) -> None:
    from worker.models.bayes.posterior import fold_in

    batch = batch_of(planted.data).select([0, 0])
    noisy = batch.ratings.copy()
    n = batch.indptr[1]
    noisy[n:] += np.random.default_rng(0).normal(0, 1.5, len(noisy) - n)
    ratings, _ = model._ratings(replace(batch, ratings=noisy))
    noise = fold_in(model.samples, ratings).noise
    assert noise[0] == pytest.approx(1 / NOISE**2, rel=0.5)
    assert noise[1] < 0.6 * noise[0]


def test_a_new_movie_starts_from_its_genre() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60, dtype=np.int32), 20)
    movies = np.concatenate([rng.choice(60, 20, replace=False) for _ in range(60)]).astype(np.int32)
    ratings = np.where(movies % 2 == 0, 4.5, 1.5).astype(np.float32) + rng.normal(0, 0.3, 1200)
    genres = ["Good" if i % 2 == 0 else "Bad" for i in range(62)]  # the last two have no ratings
    data = training_data(users, movies, ratings.astype(np.float32), n_movies=62, genres=genres)
    fitted = BayesModel.fit(data, SMALL)
    good, bad = fitted.score(batch_of(data))[:, 60:].mean(axis=0)
    assert good > 4
    assert bad < 2


def test_a_day_has_its_mood_and_another_day_has_none() -> None:
    rng = np.random.default_rng(0)
    n_users, n_movies = 60, 40
    users = np.repeat(np.arange(n_users, dtype=np.int32), n_movies)
    movies = np.tile(np.arange(n_movies, dtype=np.int32), n_users)
    days = movies // 10  # four days of ten movies, the same movies for all
    shuffled = rng.permuted(days.reshape(n_users, n_movies), axis=1).ravel()
    mood = rng.normal(0, 0.6, (n_users, 4))
    ratings = 3.5 + mood[users, shuffled] + rng.normal(0, 0.3, len(users))
    stamps = (shuffled * 86_400 + 1_000).astype(np.int64)
    data = training_data(users, movies, ratings.astype(np.float32), timestamps=stamps)
    fitted = BayesModel.fit(data, SMALL)
    batch = batch_of(data)
    rows, day = (axis.ravel() for axis in np.indices((n_users, 4)))
    offsets = fitted.offsets_at(batch, rows, day.astype(np.int64) * 86_400)
    centred = mood - mood.mean(axis=1, keepdims=True)
    assert np.corrcoef(offsets, centred.ravel())[0, 1] > 0.8
    assert not fitted.offsets_at(batch, rows, np.full(len(rows), 9 * 86_400, np.int64)).any()


def one(values: Iterable[float], users: Iterable[int], movies: Iterable[int]) -> TrainingData:
    return training_data(
        np.array(list(users), np.int32), np.array(list(movies), np.int32), np.array(list(values), np.float32)
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(one([4], [0], [0]), id="one rating"),
        pytest.param(one([4, 2, 3], [0, 0, 0], [0, 1, 2]), id="one user"),
        pytest.param(one([4, 2, 3], [0, 1, 2], [0, 0, 0]), id="one movie"),
        pytest.param(one([3] * 100, np.arange(100) // 10, np.arange(100) % 10), id="all equal"),
        pytest.param(one([1, 5] * 50, np.arange(100) // 10, np.arange(100) % 10), id="no noise"),
        pytest.param(one([1, 5, 5, 3], [0, 0, 1, 1], [0, 1, 0, 7]), id="movies without ratings"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"movie_features": False, "rated_rank": 0}, {"n_factors": 64}])
def test_degenerate_ratings_give_a_sound_model(data: TrainingData, settings: dict[str, int]) -> None:
    config = BayesConfig(**{"n_sweeps": 100, "n_samples": 3, **settings})  # type: ignore[arg-type]
    fitted = BayesModel.fit(data, config)
    batch = batch_of(data)
    scores = fitted.score(batch)
    assert np.isfinite(scores).all()
    assert (scores[:, data.movies] > -2).all()
    assert (scores[:, data.movies] < 8).all()
    assert np.isfinite(fitted.score_std(batch)).all()
    if np.ptp(data.ratings) == 0 and len(data.ratings) > 1:
        np.testing.assert_allclose(scores[:, data.movies], data.ratings[0], atol=0.3)


def test_read_only_maps_are_enough_to_serve(tmp_path: Path, first: BayesModel) -> None:
    first.save(tmp_path)
    loaded = BayesModel.load(tmp_path)
    assert not loaded.samples.means.flags.writeable
    batch = batch_of(small_data())
    assert np.array_equal(loaded.score(batch), first.score(batch))
    assert np.array_equal(loaded.score_std(batch), first.score_std(batch))


def test_arrays_that_do_not_fit_are_refused(first: BayesModel) -> None:
    arrays = {**first.arrays(), "means": first.arrays()["means"][:-1]}
    with pytest.raises(ValueError, match=r"of shape \(30, 4\) instead of .* of shape \(29, 4\)"):
        BayesModel.from_arrays(first.movie_ids, first.scale, arrays)


def test_every_sweep_is_reported(planted: Planted) -> None:
    steps: list[Step] = []
    config = SMALL.model_copy(update={"holdout": 0.02})
    BayesModel.fit(planted.data, config, steps.append)
    assert [step.done for step in steps] == list(range(1, 25))
    assert {step.total for step in steps} == {24}
    assert steps[-1].metrics["rmse"] < steps[0].metrics["rmse"]
    assert steps[-1].metrics["rmse"] == pytest.approx(NOISE, rel=0.3)


def test_time_that_runs_out_shortens_the_plan(planted: Planted) -> None:
    steps: list[Step] = []
    config = BayesConfig(n_sweeps=10_000, max_seconds=0.5)
    fitted = BayesModel.fit(planted.data, config, steps.append)
    assert steps[-1].done == steps[-1].total
    assert steps[-1].done < 5_000
    assert 1 <= fitted.samples.means.shape[1] <= 12
    assert np.isfinite(fitted.score(batch_of(planted.data))).all()


def test_a_burn_in_longer_than_so_many_ratings_are_sampled_is_refused(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.models.bayes.training._RATING_DRAWS", 50 * len(planted.data.ratings))
    with pytest.raises(ConfigurationError, match=r"burn_in=50 leaves no sweep to keep: .* there are 50 "):
        BayesModel.fit(planted.data, BayesConfig(burn_in=50))


def test_burn_in_ends_when_the_held_out_error_settles(planted: Planted) -> None:
    steps: list[Step] = []
    config = BayesConfig(n_sweeps=400, burn_in=300, n_samples=2, holdout=0.1, tolerance=0.01)
    BayesModel.fit(planted.data, config, steps.append)
    assert steps[-1].done < 250


def test_an_interrupt_ends_training_at_once(planted: Planted) -> None:
    def interrupt(step: Step) -> None:
        if step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BayesModel.fit(planted.data, SMALL, interrupt)


def test_serving_never_loads_the_compiler(tmp_path: Path, first: BayesModel) -> None:
    first.save(tmp_path)
    program = f"""
import sys
from pathlib import Path
import numpy as np
from worker.models.ratings import RatingsBatch
from worker.models.bayes.model import BayesModel
model = BayesModel.load(Path({str(tmp_path)!r}))
batch = RatingsBatch(np.zeros(1, np.int32), np.array([0, 1]), model.movie_ids[:1], np.ones(1, np.float32),
                     np.zeros(1, np.int64))
model.score(batch), model.score_std(batch), model.contributions(batch, 0, np.array([0]))
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & {{"numba", "llvmlite", "scipy", "pandas", "surprise", "joblib"}}))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert result.stdout.strip() == "[]"
