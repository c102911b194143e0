"""The Markov chain of the Bayesian model: two sides, drawn in turn until stopped.

References
----------
Salakhutdinov, R. and Mnih, A. (2008). Bayesian Probabilistic Matrix Factorization using Markov Chain Monte
Carlo. ICML.
Simm, J. et al. (2017). Macau: Scalable Bayesian Factorization with High-Dimensional Side Information Using
MCMC. MLSP. (Prior means as a regression on features, drawn along.)
Rendle, S., Zhang, L. and Koren, Y. (2019). On the Difficulty of Evaluating Baselines. arXiv:1905.01395.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from worker.models import gibbs

_ROW_COST = 50
"""Time of a row's draw, in ratings: both take part in an even division among threads."""
_TASKS_PER_THREAD = 8
"""Small enough tasks that a busy core does not hold up the others."""


@dataclass
class Prior:
    """Normal prior of a side's rows: ``features @ weights`` and a precision per dimension.

    Attributes
    ----------
    features : ndarray of float32, shape (n_rows, n_features)
        The first column is 1.
    groups : list of slice
        Columns that share the precision of their weights.
    """

    features: NDArray[np.float32]
    groups: list[slice]

    def start(self, d: int) -> None:
        f = self.features.shape[1]
        self.gram = self.features.T.astype(np.float64) @ self.features
        self.ridge = np.full(f, 1e-2)
        self.weights = np.zeros((f, d))
        self.precision = np.full(d, 10.0)
        self.means = np.zeros((len(self.features), d), dtype=np.float32)

    def draw(self, rows: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Draw precision and weights given the rows."""
        n, d = rows.shape
        f = len(self.ridge)
        factor = np.linalg.cholesky(self.gram + np.diag(self.ridge))
        moments = (self.features.T @ rows).astype(np.float64)
        white = solve_triangular(factor, moments, lower=True)
        squares = np.einsum("ij,ij->j", rows, rows, dtype=np.float64) - (white**2).sum(axis=0)
        a0, b0 = self.a0, self.b0
        self.precision = rng.gamma(a0 + n / 2, 1 / (b0 + np.maximum(squares, 0) / 2))
        noise = rng.standard_normal((f, d)) / np.sqrt(self.precision)
        self.weights = solve_triangular(factor, white + noise, lower=True, trans="T")
        for group in self.groups:
            w = self.weights[group]
            self.ridge[group] = rng.gamma(1 + w.size / 2, 1 / (self.ridge_b + (w**2 * self.precision).sum() / 2))
        self.means = self.features @ self.weights.astype(np.float32)

    a0 = 1.0
    b0 = 0.1
    ridge_b = 1.0


class Side:
    """Users or movies: ratings in rows, unknowns, noise precisions."""

    def __init__(self, indptr, columns, values, prior: Prior, k: int, noise: float) -> None:
        n = len(indptr) - 1
        self.indptr, self.columns, self.values, self.prior = indptr, columns, values, prior
        self.rows = np.zeros((n, k + 1), dtype=np.float32)
        self.means = np.zeros_like(self.rows)
        self.design = np.zeros((n, k + 2), dtype=np.float32)
        self.noise = np.full(n, noise, dtype=np.float32)
        self.squares = np.zeros(n)
        self.counts = np.diff(indptr)
        self.noise_shape, self.noise_rate = 0.0, 1.0
        prior.start(k + 1)

    def tasks(self, threads: int):
        weight = self.indptr + _ROW_COST * np.arange(len(self.indptr))
        cuts = np.searchsorted(weight, np.linspace(0, weight[-1], threads * _TASKS_PER_THREAD + 1))
        cuts[-1] = len(self.counts)
        return [(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if b > a]

    def draw(self, other: "Side", seed, pool: Executor, threads: int) -> None:
        futures = [
            pool.submit(
                gibbs.draw_rows, first, last, self.indptr, self.columns, self.values, other.design,
                self.prior.means, self.prior.precision, self.noise_shape, self.noise_rate, seed,
                self.rows, self.means, self.design, self.noise, self.squares,
            )
            for first, last in self.tasks(threads)
        ]
        for f in futures:
            f.result()
