"""Features of movies and users besides the stars, for the prior means.

The Bayesian model draws a movie's factors and bias around ``features @ weights`` rather than around one
mean for all, so a movie with few ratings starts from its genres, year and popularity. A user starts from
*which* movies he or she rated (SVD++'s implicit signal), projected on a few dozen dimensions so that the
regression stays small and dense.

References
----------
Koren, Y. (2008). Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model. KDD.
Simm, J. et al. (2017). Macau: Scalable Bayesian Factorization with High-Dimensional Side Information Using
MCMC. MLSP.
Halko, N., Martinsson, P. and Tropp, J. (2011). Finding Structure with Randomness. SIAM Review 53(2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.genres import split_genres
from worker.models.training_data import ModelMovies

FloatArray = NDArray[np.float32]

_YEAR_BUMPS = 10
_BASIS_USERS = 10_000
"""Users that the basis of the implicit signal is computed from, at most."""


@dataclass(frozen=True)
class Features:
    """Features of the rows of one side.

    Attributes
    ----------
    values : ndarray of float32, shape (n_rows, n_features)
        The first column is 1.
    groups : list of slice
        Columns whose weights share a precision.
    """

    values: FloatArray
    groups: list[slice]


def join(n_rows: int, *parts: NDArray[np.floating]) -> Features:
    """Put a constant and groups of columns side by side; empty groups are left out."""
    columns: list[NDArray[np.floating]] = [np.ones((n_rows, 1), dtype=np.float32)]
    groups = [slice(0, 1)]
    for part in parts:
        if part.shape[1]:
            start = groups[-1].stop
            groups.append(slice(start, start + part.shape[1]))
            columns.append(part)
    return Features(np.hstack(columns).astype(np.float32), groups)


def popularity(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the standardised logarithm of the number of ratings and its square, shape (n, 2)."""
    logs = np.log(np.maximum(counts, 1).astype(np.float64))
    logs -= logs.mean()
    spread = logs.std()
    if spread > 0:
        logs /= spread
    return np.stack([logs, logs**2 - 1], axis=1)


def genres(catalogue: ModelMovies) -> NDArray[np.float64]:
    """Return one centred column per genre, 1 before centring where the movie has it."""
    split = [set(split_genres(text)) for text in catalogue.genres]
    names = sorted(set().union(*split))
    table = np.array([[name in movie for name in names] for movie in split], dtype=np.float64)
    table = table.reshape(len(split), len(names))
    table -= table.mean(axis=0)
    return table


def years(catalogue: ModelMovies, counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the year of release as overlapping bumps, narrow where there are many ratings.

    A movie of unknown year is all zeros, the average.
    """
    year = np.asarray(catalogue.years, dtype=np.float64)
    known = year > 0
    weights = np.where(known, counts, 0).astype(np.float64)
    if not weights.any() or len(np.unique(year[known])) < 2:
        return np.zeros((len(year), 0))
    order = np.argsort(year, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    places = np.minimum(np.searchsorted(share, np.linspace(0.02, 0.98, _YEAR_BUMPS)), len(year) - 1)
    centres = year[order][places]
    widths = np.gradient(centres) + 3
    bumps = np.exp(-0.5 * ((year[:, None] - centres) / widths) ** 2)
    bumps -= bumps[known].mean(axis=0)
    return np.where(known[:, None], bumps, 0.0)


def rated_basis(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    n_movies: int,
    rank: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the leading right singular vectors of the matrix of who rated what.

    A user's row of that matrix is ``1 / sqrt(n)`` at each of the ``n`` movies rated. Found by subspace
    iteration on a sample of the users; neither the sample nor the few rounds matter to the use as features.

    Parameters
    ----------
    indptr : ndarray of int64, shape (n_users + 1,)
    columns : ndarray of int32, shape (n_ratings,)
        Movies rated, by user.
    n_movies, rank : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (n_movies, min(rank, n_movies, n_users))
        Scaled so that the features of users, :func:`rated_features`, have a mean square length of 1.
    """
    from scipy.sparse import csr_array  # training only: a serving worker never pays for it

    counts = np.diff(indptr)
    n_users = len(counts)
    if n_users > _BASIS_USERS:
        chosen = np.sort(rng.choice(n_users, _BASIS_USERS, replace=False))
        columns = np.concatenate([columns[indptr[user] : indptr[user + 1]] for user in chosen])
        counts, n_users = counts[chosen], _BASIS_USERS
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(counts)])
    matrix = csr_array((values, columns, ends), shape=(n_users, n_movies))
    width = min(rank + 8, n_movies, n_users)
    basis = rng.standard_normal((n_movies, width)).astype(np.float32)
    for _ in range(4):
        basis = np.linalg.qr(matrix.T @ (matrix @ basis))[0]
    image = matrix @ basis
    squares, turn = np.linalg.eigh(image.T.astype(np.float64) @ image)
    kept = slice(None, -min(rank, width) - 1, -1)
    length = np.sqrt(max(squares[kept].sum() / n_users, 1e-12))
    rotated: FloatArray = (basis @ (turn[:, kept] / length)).astype(np.float32)
    return rotated


def rated_features(sums: FloatArray, n_ratings: NDArray[np.integer]) -> FloatArray:
    """Return users' features from the sums of the basis over the movies they rated.

    Parameters
    ----------
    sums : ndarray of float32, shape (n_users, rank)
    n_ratings : ndarray of int, shape (n_users,)

    Returns
    -------
    ndarray of float32, shape (n_users, rank)
    """
    scaled: FloatArray = sums / np.sqrt(np.maximum(n_ratings, 1))[:, None].astype(np.float32)
    return scaled
