"""Trains the model: sets up the chain, runs it, keeps the samples that serving needs."""

import time
from dataclasses import dataclass, field

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shared.algorithms import BayesConfig
from shared.errors import ConfigurationError, DataError
from shared.progress import Progress, Step
from worker.models.bayes import features, gibbs
from worker.models.bayes.bounds import heads_and_tails, leading_directions
from worker.models.bayes.chain import Chain, Side, Team
from worker.models.bayes.features import FloatArray
from worker.models.bayes.posterior import MovieSamples, equations
from worker.models.bayes.sessions import session_prior
from worker.models.training_data import TrainingData

_RATING_DRAWS = 8e8
"""Sweeps by default are this many by the number of ratings, within the limits: more data mix in fewer, and
a minute of two cores is enough."""
_LEAST_HELD_OUT, _MOST_HELD_OUT = 50, 20_000
_SESSION_RATINGS = 1_000_000
_SETTLING_SWEEPS = 10


@dataclass
class HeldOut:
    """Ratings that are not trained on, and what the chain thinks of them so far.

    Attributes
    ----------
    users, movies : ndarray of int32, shape (n,)
    values : ndarray of float32, shape (n,)
        Ratings less the global mean.
    """

    users: NDArray[np.int32]
    movies: NDArray[np.int32]
    values: NDArray[np.float32]
    rmses: list[float] = field(default_factory=list)
    _total: NDArray[np.float64] | float = 0.0
    _n_averaged: int = 0

    def measure(self, chain: Chain, averaging: bool) -> float:
        """Return the RMSE of this sweep, or of the mean of all sweeps since averaging began."""
        user, movie = chain.users.rows[self.users], chain.movies.means[self.movies]
        k = user.shape[1] - 1
        estimate = np.einsum("ij,ij->i", user[:, :k], movie[:, :k]) + user[:, k] + movie[:, k]
        if averaging:
            self._total = self._total + estimate
            self._n_averaged += 1
            estimate = self._total / self._n_averaged
        rmse = float(np.sqrt(np.mean((estimate - self.values) ** 2)))
        self.rmses.append(rmse)
        return rmse

    def settled(self, tolerance: float) -> bool:
        """Whether the last sweeps were hardly better than those before them."""
        recent, before = self.rmses[-_SETTLING_SWEEPS:], self.rmses[-2 * _SETTLING_SWEEPS : -_SETTLING_SWEEPS]
        return len(before) == _SETTLING_SWEEPS and np.mean(recent) > (1 - tolerance) * np.mean(before)


class _Schedule:
    """How many sweeps there are and which of them are burn-in; both may shrink on the way."""

    def __init__(self, config: BayesConfig, n_ratings: int) -> None:
        self._config = config
        self._started = time.monotonic()
        by_size = int(np.clip(_RATING_DRAWS / n_ratings, config.fewest_sweeps, config.most_sweeps))
        self.total = config.n_sweeps or by_size
        self.burn_in = self.total // 3 if config.burn_in is None else config.burn_in
        if self.burn_in >= self.total:
            raise ConfigurationError(
                f"burn_in={self.burn_in} leaves no sweep to keep: for {n_ratings:,} ratings there are "
                f"{self.total} unless n_sweeps says more."
            )

    def review(self, sweep: int, held_out: HeldOut | None) -> None:
        """Shorten the plan after a sweep, if burn-in has settled or time is short."""
        tolerance, limit = self._config.tolerance, self._config.max_seconds
        if tolerance and held_out and sweep < self.burn_in and held_out.settled(tolerance):
            self.total -= self.burn_in - sweep
            self.burn_in = sweep
        if limit is not None:
            elapsed = time.monotonic() - self._started
            affordable = int(sweep * limit / elapsed)
            self.total = max(sweep, min(self.total, affordable))
            if sweep <= self.burn_in:
                self.burn_in = min(self.burn_in, self.total // 3)


def sample(data: TrainingData, config: BayesConfig, progress: Progress) -> MovieSamples:
    """Run the chain and return the samples that it kept.

    Raises
    ------
    ConfigurationError
        If burn-in is longer than so many ratings are sampled.
    DataError
        If the result has numbers that are not finite.
    """
    schedule = _Schedule(config, len(data.ratings))
    rng = np.random.default_rng(config.seed)
    global_mean = float(data.ratings.mean(dtype=np.float64))
    n_users, n_movies = len(data.user_ids), len(data.catalogue.movie_ids)
    user_index, movie_index = data.users, data.movies
    values = data.ratings - np.float32(global_mean)
    held_out = None
    n_held_out = min(int(config.holdout * len(values)), _MOST_HELD_OUT)
    if n_held_out >= _LEAST_HELD_OUT:
        kept = np.ones(len(values), dtype=np.bool_)
        kept[rng.choice(len(values), n_held_out, replace=False)] = False
        held_out = HeldOut(user_index[~kept], movie_index[~kept], values[~kept])
        user_index, movie_index, values = user_index[kept], movie_index[kept], values[kept]

    indptr = np.searchsorted(user_index, np.arange(n_users + 1)).astype(np.int64)
    users = Side(indptr, movie_index, values, config.n_factors)
    by_movie = gibbs.transpose(user_index, movie_index, values, n_movies)
    movies = Side(by_movie[0], by_movie[1], by_movie[2], config.n_factors)
    keeper = _Keeper(n_movies, config)
    # The products between the kernels are small: BLAS threads would only wait for each other and for ours.
    with Team(config.threads or cpu_count()) as team, threadpool_limits(1, "blas"):
        basis, user_features = _user_features(users, n_movies, config.rated_rank, team, rng)
        movie_features = _movie_features(data, movies.counts, config.movie_features)
        chain = Chain(
            users,
            movies,
            user_features,
            movie_features,
            config.noise_shape,
            config.movie_noise_shape,
            team,
            rng,
        )
        sweep = 0
        while sweep < schedule.total:
            chain.sweep()
            sweep += 1
            metrics = {"train_rmse": chain.train_rmse}
            if held_out:
                metrics = {"rmse": held_out.measure(chain, sweep > schedule.burn_in), **metrics}
            schedule.review(sweep, held_out)
            keeper.offer(chain, sweep - schedule.burn_in, schedule.total - schedule.burn_in)
            progress(Step("training bayes", sweep, schedule.total, "sweep", metrics))
        return keeper.finish(global_mean, basis, _session_prior(chain, data, global_mean))


def _session_prior(chain: Chain, data: TrainingData, global_mean: float) -> float:
    """Estimate the strength of sessions from the residuals of the last sweep."""
    some = slice(0, _SESSION_RATINGS)
    user, movie = chain.users.rows[data.users[some]], chain.movies.means[data.movies[some]]
    k = user.shape[1] - 1
    estimate = np.einsum("ij,ij->i", user[:, :k], movie[:, :k]) + user[:, k] + movie[:, k]
    residuals = (data.ratings[some] - np.float32(global_mean) - estimate).astype(np.float64)
    return session_prior(data.users[some], data.timestamps[some], residuals)


def _movie_features(data: TrainingData, counts: NDArray[np.int64], wanted: bool) -> features.Features:
    n_movies = len(counts)
    if not wanted:
        return features.join(n_movies)
    return features.join(
        n_movies,
        features.popularity(counts),
        features.genres(data.catalogue),
        features.years(data.catalogue, counts),
    )


def _user_features(
    users: Side, n_movies: int, rank: int, team: Team, rng: np.random.Generator
) -> tuple[FloatArray, features.Features]:
    n_users = len(users.counts)
    if rank == 0:
        return np.zeros((n_movies, 0), dtype=np.float32), features.join(n_users)
    basis = features.rated_basis(users.indptr, users.columns, n_movies, rank, rng)
    sums = team.sum_rows(users, basis)
    return basis, features.join(n_users, features.rated_features(sums, users.counts))


class _Keeper:
    """Collects samples at even distances along the chain."""

    def __init__(self, n_movies: int, config: BayesConfig) -> None:
        shape = (n_movies, config.n_samples, config.n_factors + 1)
        self._noise_shape = config.noise_shape
        self._draws: FloatArray = np.empty(shape, dtype=np.float32)
        self._means: FloatArray = np.empty(shape, dtype=np.float32)
        self._weights: list[FloatArray] = []
        self._precisions: list[NDArray[np.float64]] = []
        self._rates: list[float] = []
        self._movie_noise = np.zeros(n_movies)

    def offer(self, chain: Chain, done: int, planned: int) -> None:
        """Keep the chain's state if it is its turn: sweep ``done`` of ``planned`` after burn-in."""
        n_samples, taken = self._draws.shape[1], len(self._rates)
        if done <= 0 or taken == n_samples or done * n_samples < (taken + 1) * planned:
            return
        self._draws[:, taken] = chain.movies.rows
        self._means[:, taken] = chain.movies.means
        self._weights.append(chain.user_prior.weights.astype(np.float32))
        self._precisions.append(chain.user_prior.precision)
        self._rates.append(chain.users.noise_rate)
        self._movie_noise += chain.movies.noise

    def finish(self, global_mean: float, basis: FloatArray, session_prior: float) -> MovieSamples:
        """Return what was kept.

        Raises
        ------
        DataError
            If not everything is finite.
        """
        taken = len(self._rates)
        means = np.ascontiguousarray(self._means[:, :taken])
        _check_finite("means", means)
        directions = leading_directions(means)
        samples = MovieSamples(
            global_mean=global_mean,
            draws=equations(self._draws[:, :taken], self._movie_noise / taken, global_mean),
            means=means,
            weights=np.stack(self._weights),
            precisions=np.stack(self._precisions),
            noise_shape=self._noise_shape,
            noise_rate=float(np.mean(self._rates)),
            session_prior=session_prior,
            basis=basis,
            directions=directions,
            bounds=heads_and_tails(means, directions),
        )
        for name, array in vars(samples).items():
            _check_finite(name, array)
        return samples


def _check_finite(name: str, array: NDArray[np.generic] | float) -> None:
    if not np.isfinite(array).all():
        raise DataError(
            f"Training ended with numbers that are not finite ({name}). Check the ratings: each must be a "
            f"number on the scale."
        )
