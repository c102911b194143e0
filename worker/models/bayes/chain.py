"""The Markov chain of the Bayesian model: users and movies, drawn in turn.

A sweep draws every user (factors and bias together) given the movies, then every movie given the users,
and after each side the prior it was drawn from. Everything is a conjugate draw, so there is nothing to tune.

References
----------
Salakhutdinov, R. and Mnih, A. (2008). Bayesian Probabilistic Matrix Factorization using Markov Chain Monte
Carlo. ICML.
Rendle, S., Zhang, L. and Koren, Y. (2019). On the Difficulty of Evaluating Baselines. arXiv:1905.01395.
Simm, J. et al. (2017). Macau: Scalable Bayesian Factorization with High-Dimensional Side Information Using
MCMC. MLSP.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from worker.models.bayes import gibbs
from worker.models.bayes.features import Features, FloatArray

_ROW_COST = 50
"""Time of a row's draw in ratings' worth: both count when rows are divided among threads."""
_TASKS_PER_THREAD = 8
"""Tasks small enough that one slow core does not hold up the others."""
_LEAST_TASK = 20_000
"""Ratings' worth of work below which a task costs more to hand out than it saves."""
_PRECISION_SHAPE, _PRECISION_RATE = 3.0, 0.3
_RIDGE_SHAPE, _RIDGE_RATE = 3.0, 1.0
"""Gamma hyperpriors. They decide nothing once there are hundreds of rows, and keep a handful in bounds."""
_LEAST_NOISE_VARIANCE = 1e-3
"""Square stars. Keeps precisions finite when ratings are all equal or fit without error."""


class Prior:
    """Normal prior of a side's rows: mean ``features @ weights``, one precision per dimension.

    Precisions have a gamma prior; weights a normal one whose precision is the dimension's, times a ridge per
    group of features that is drawn as well. Weights are integrated out when precisions are drawn.

    Parameters
    ----------
    features : Features
        Of the rows.
    d : int
        Dimensions: the factors and the bias.

    Attributes
    ----------
    means : ndarray of float32, shape (n_rows, d)
    precision : ndarray of float64, shape (d,)
    weights : ndarray of float64, shape (n_features, d)
    """

    def __init__(self, features: Features, d: int) -> None:
        self._values = features.values
        self._groups = features.groups
        self._gram = np.asarray(self._values.T.astype(np.float64) @ self._values)
        self._ridge = np.full(len(self._gram), 0.01)
        self.weights = np.zeros((len(self._gram), d))
        self.precision = np.full(d, 10.0)
        self.means: FloatArray = np.zeros((len(self._values), d), dtype=np.float32)

    def draw(self, rows: FloatArray, rng: np.random.Generator) -> None:
        """Draw precisions, weights and ridges given the rows, shape (n_rows, d)."""
        lower = np.linalg.cholesky(self._gram + np.diag(self._ridge))
        white = solve_triangular(lower, (self._values.T @ rows).astype(np.float64), lower=True)
        squares = np.einsum("ij,ij->j", rows, rows, dtype=np.float64) - (white**2).sum(axis=0)
        self.precision = rng.gamma(
            _PRECISION_SHAPE + len(rows) / 2, 1 / (_PRECISION_RATE + np.maximum(squares, 0) / 2)
        )
        noise = rng.standard_normal(white.shape) / np.sqrt(self.precision)
        self.weights = solve_triangular(lower, white + noise, lower=True, trans="T")
        for group in self._groups:
            size = (self.weights[group] ** 2 * self.precision).sum()
            self._ridge[group] = rng.gamma(
                _RIDGE_SHAPE + self.weights[group].size / 2, 1 / (_RIDGE_RATE + size / 2)
            )
        self.means = self._values @ self.weights.astype(np.float32)


class Side:
    """Users or movies: their ratings by row, unknowns and noise precisions.

    Parameters
    ----------
    indptr : ndarray of int64, shape (n_rows + 1,)
    columns : ndarray of int32, shape (n_ratings,)
        Rows of the other side.
    values : ndarray of float32, shape (n_ratings,)
        Ratings less the global mean.
    n_factors : int

    Attributes
    ----------
    rows, means : ndarray of float32, shape (n_rows, n_factors + 1)
        The last draw of factors and bias, and the means it was drawn around.
    design : ndarray of float32, shape (n_rows, n_factors + 2)
        The draw as the other side's kernel wants it.
    noise : ndarray of float32, shape (n_rows,)
        Noise precisions. A rating's is the product of its user's and its movie's; those of movies average 1.
    noise_shape, noise_rate : float
        Their gamma prior; with shape 0 they stay as they are.
    squares : ndarray of float64, shape (n_rows,)
        Sums of squared residuals, weighted by the other side's precisions.
    """

    def __init__(
        self,
        indptr: NDArray[np.int64],
        columns: NDArray[np.int32],
        values: NDArray[np.float32],
        n_factors: int,
    ) -> None:
        n = len(indptr) - 1
        self.indptr, self.columns, self.values = indptr, columns, values
        self.counts = np.diff(indptr)
        self.rows: FloatArray = np.zeros((n, n_factors + 1), dtype=np.float32)
        self.means: FloatArray = np.zeros_like(self.rows)
        self.design: FloatArray = np.zeros((n, n_factors + 2), dtype=np.float32)
        self.noise: FloatArray = np.ones(n, dtype=np.float32)
        self.squares: NDArray[np.float64] = np.zeros(n)
        self.noise_shape, self.noise_rate = 0.0, 1.0

    def set_rows(self, rows: FloatArray) -> None:
        """Start from given rows with noise precision 1."""
        k = rows.shape[1] - 1
        self.rows[:] = rows
        self.design[:, :k] = rows[:, :k]
        self.design[:, k] = 1
        self.design[:, k + 1] = rows[:, k]

    def spans(self, n_tasks: int) -> list[tuple[int, int]]:
        """Divide the rows into at most so many spans of about equal work."""
        work = self.indptr + _ROW_COST * np.arange(len(self.indptr))
        n_tasks = min(n_tasks, int(work[-1]) // _LEAST_TASK + 1)
        cuts = np.searchsorted(work, np.linspace(0, work[-1], n_tasks + 1))
        cuts[-1] = len(self.counts)
        return [(int(a), int(b)) for a, b in pairwise(cuts) if b > a]


class Team:
    """Threads that run a compiled kernel, which releases the GIL, over spans of rows.

    Plain threads instead of numba's own: they survive a fork before their start, may be used from any
    thread, and an interrupt is seen between two tasks.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_tasks = n_threads * _TASKS_PER_THREAD
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="gibbs")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, side: Side, kernel: Callable[..., None], *arguments: object) -> None:
        """Call ``kernel(first, last, *arguments)`` for spans that cover all rows of a side."""
        spans = side.spans(self._n_tasks)
        if len(spans) == 1:
            kernel(*spans[0], *arguments)
            return
        futures = [self._pool.submit(kernel, first, last, *arguments) for first, last in spans]
        for future in futures:
            future.result()

    def draw(self, side: Side, other: Side, prior: Prior, seed: np.uint64) -> None:
        """Draw all rows of a side given the other."""
        self.run(
            side,
            gibbs.draw_rows,
            side.indptr,
            side.columns,
            side.values,
            other.design,
            prior.means,
            prior.precision,
            side.noise_shape,
            side.noise_rate,
            seed,
            side.rows,
            side.means,
            side.design,
            side.noise,
            side.squares,
        )

    def sum_rows(self, side: Side, table: FloatArray) -> FloatArray:
        """For each row of a side, sum the rows of a table that its ratings name."""
        sums: FloatArray = np.empty((len(side.counts), table.shape[1]), dtype=np.float32)
        self.run(side, gibbs.sum_rows, side.indptr, side.columns, np.ascontiguousarray(table), sums)
        return sums


class Chain:
    """State of the sampler; :meth:`sweep` moves it by one draw of everything.

    Parameters
    ----------
    users, movies : Side
    user_features, movie_features : Features
    noise_shape, movie_noise_shape : float
        Shapes of the gamma priors of noise precisions. The users' has a rate that is drawn, the movies' a
        mean of 1.
    team : Team
    rng : numpy.random.Generator

    Attributes
    ----------
    train_rmse : float
        Of the last sweep, with ratings weighted by the precisions of their movies.
    """

    def __init__(
        self,
        users: Side,
        movies: Side,
        user_features: Features,
        movie_features: Features,
        noise_shape: float,
        movie_noise_shape: float,
        team: Team,
        rng: np.random.Generator,
    ) -> None:
        self.users, self.movies = users, movies
        d = users.rows.shape[1]
        self.user_prior, self.movie_prior = Prior(user_features, d), Prior(movie_features, d)
        self._team, self._rng = team, rng
        start = rng.normal(0, 0.1, movies.rows.shape).astype(np.float32)
        start[:, -1] = 0
        movies.set_rows(start)
        variance = max(0.5 * float(np.var(users.values)), _LEAST_NOISE_VARIANCE)
        users.noise_shape, users.noise_rate = noise_shape, noise_shape * variance
        users.noise[:] = 1 / variance
        movies.noise_shape = movies.noise_rate = movie_noise_shape
        self.train_rmse = float("nan")

    def sweep(self) -> None:
        """Draw users, their noise and its prior, the users' prior, movies, and the movies' prior."""
        users, movies, rng = self.users, self.movies, self._rng
        self._team.draw(users, movies, self.user_prior, self._seed())
        self.train_rmse = float(np.sqrt(users.squares.sum() / (movies.noise * movies.counts).sum()))
        shape = users.noise_shape
        rate = rng.gamma(1 + len(users.noise) * shape, 1 / (1 + users.noise.sum(dtype=np.float64)))
        users.noise_rate = max(float(rate), shape * _LEAST_NOISE_VARIANCE)
        self.user_prior.draw(users.rows, rng)
        self._team.draw(movies, users, self.movie_prior, self._seed())
        self.movie_prior.draw(movies.rows, rng)

    def _seed(self) -> np.uint64:
        return np.uint64(self._rng.integers(2**63))
