"""Works users out from their ratings, given each kept sample of the movie side.

Given one sample of the movies, a user's factors and bias are normal with a mean that is linear in the
ratings. That is solved here for a batch of users and all samples at once, with NumPy only.

Each sample keeps two versions of the movies. Users are solved with the *draws*, whose scatter is what tells
the model how little it knows of a movie. Movies are scored (:mod:`worker.models.bayes.scoring`) with the
*means* those draws were made around (Rao-Blackwell): the same expectation with less noise, so few samples
are enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.models.bayes.features import FloatArray, rated_features

_RATINGS_TOGETHER = 2048
_NOISE_STRIDE = 3


@dataclass(frozen=True)
class MovieSamples:
    """S samples of the movie side and of the prior of users; d is the factors and the bias.

    Attributes
    ----------
    global_mean : float
        Mean rating.
    draws : ndarray of float32, shape (n_movies, S, d + 1)
        Each movie as drawn, in the form in which it takes part in a user's system of equations:
        ``[factors, 1, -(global_mean + bias)]`` by the root of its noise precision (:func:`equations`).
    means : ndarray of float32, shape (n_movies, S, d)
        Factors and bias that were drawn around.
    weights : ndarray of float32, shape (S, n_features, d)
        Prior mean of a user is ``features @ weights[s]``.
    precisions : ndarray of float64, shape (S, d)
        Prior precision of a user.
    noise_shape, noise_rate : float
        Gamma prior of a user's noise precision, the rate averaged over samples.
    session_prior : float
        How many ratings' worth of doubt there is about a mood of the day.
    basis : ndarray of float16 or float32, shape (n_movies, n_features - 1)
        What a rated movie adds to a user's features.
    directions : ndarray of float32, shape (S * d, n_directions)
    bounds : ndarray of float32, shape (n_movies, n_directions + 1)
        What :mod:`worker.models.bayes.bounds` tells the best movies from.
    """

    global_mean: float
    draws: FloatArray
    means: FloatArray
    weights: FloatArray
    precisions: NDArray[np.float64]
    noise_shape: float
    noise_rate: float
    session_prior: float
    basis: NDArray[np.floating]
    directions: FloatArray
    bounds: FloatArray


@dataclass(frozen=True)
class Ratings:
    """Ratings of several users in compressed rows, of known movies only.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n_users + 1,)
    columns : ndarray of intp, shape (n_ratings,)
    values : ndarray of float32, shape (n_ratings,)
        Stars.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.intp]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Users:
    """Normal distributions of users given each sample.

    Attributes
    ----------
    means : ndarray of float32, shape (n_users, S, d)
    precisions : ndarray of float32, shape (n_users, S, d, d)
    prior : ndarray of float32, shape (n_users, S, d)
        Prior precision times prior mean, the part of the right-hand side that no rating caused.
    noise : ndarray of float32, shape (n_users,)
        Estimated noise precision of each user's ratings.
    """

    means: FloatArray
    precisions: FloatArray
    prior: FloatArray
    noise: FloatArray


def equations(draws: FloatArray, movie_noise: NDArray[np.floating], global_mean: float) -> FloatArray:
    """Return movies in the form of :attr:`MovieSamples.draws`.

    Parameters
    ----------
    draws : ndarray of float32, shape (n_movies, S, d)
        Factors and bias.
    movie_noise : ndarray, shape (n_movies,)
        Noise precision of each movie's ratings relative to that of their users.
    global_mean : float

    Returns
    -------
    ndarray of float32, shape (n_movies, S, d + 1)
    """
    n_movies, n_samples, d = draws.shape
    rows: FloatArray = np.empty((n_movies, n_samples, d + 1), dtype=np.float32)
    rows[:, :, : d - 1] = draws[:, :, : d - 1]
    rows[:, :, d - 1] = 1
    rows[:, :, d] = -(draws[:, :, d - 1] + global_mean)
    rows *= np.sqrt(movie_noise).astype(np.float32)[:, None, None]
    return rows


def design(samples: MovieSamples, columns: NDArray[np.intp], values: NDArray[np.float32]) -> FloatArray:
    """Return rows ``[factors, 1, residual]`` of some rated movies, by the root of the movie's precision.

    Returns
    -------
    ndarray of float32, shape (n, S, d + 1)
    """
    d = samples.draws.shape[2] - 1
    rows: FloatArray = samples.draws.take(columns, axis=0)
    rows[:, :, d] += values[:, None] * rows[:, :, d - 1]
    return rows


def fold_in(samples: MovieSamples, ratings: Ratings) -> Users:
    """Work out users from their ratings.

    A user's noise precision is estimated in one step: solve with the prior's, take the expected squared
    residuals, solve again. A second step changes no error in the fourth decimal.

    Parameters
    ----------
    samples : MovieSamples
    ratings : Ratings

    Returns
    -------
    Users
    """
    n_users = len(ratings.indptr) - 1
    n_samples, d = samples.means.shape[1:]
    counts = np.diff(ratings.indptr)
    gram: FloatArray = np.zeros((n_users, n_samples, d + 1, d + 1), dtype=np.float32)
    features: FloatArray = np.ones((n_users, samples.weights.shape[1]), dtype=np.float32)
    for users in _by_ratings(ratings.indptr):
        first = ratings.indptr[users.start]
        part = slice(first, ratings.indptr[users.stop])
        rows = design(samples, ratings.columns[part], ratings.values[part])
        basis = samples.basis[ratings.columns[part]]
        for user in range(users.start, users.stop):
            own = slice(ratings.indptr[user] - first, ratings.indptr[user + 1] - first)
            np.matmul(rows[own].transpose(1, 2, 0), rows[own].transpose(1, 0, 2), out=gram[user])
            features[user, 1:] = basis[own].sum(axis=0, dtype=np.float32)
    features[:, 1:] = rated_features(features[:, 1:], counts)

    precision = samples.precisions.astype(np.float32)
    # In double precision: the only product whose shape depends on who else is in the batch.
    expected = np.matmul(features.astype(np.float64), samples.weights.astype(np.float64))
    prior = precision * expected.transpose(1, 0, 2).astype(np.float32)
    noise = np.full(n_users, samples.noise_shape / samples.noise_rate, dtype=np.float32)
    # The spread between samples hardly matters to one number a user, so some of them are enough.
    some = slice(None, None, _NOISE_STRIDE)
    means, _ = _solve(gram[:, some], precision[some], prior[:, some], noise)
    noise = _noise(samples, gram[:, some], precision[some], means, noise, counts)
    means, precisions = _solve(gram, precision, prior, noise)
    return Users(means, precisions, prior, noise)


def _by_ratings(indptr: NDArray[np.int64]) -> Iterator[slice]:
    """Yield runs of users whose ratings together fit into the cache of a core, each at least one user."""
    start = 0
    while start < len(indptr) - 1:
        fitting = int(np.searchsorted(indptr, indptr[start] + _RATINGS_TOGETHER, side="right")) - 1
        stop = max(start + 1, fitting)
        yield slice(start, stop)
        start = stop


def _solve(
    gram: FloatArray, precision: FloatArray, prior: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return means (n_users, S, d) and precisions (n_users, S, d, d)."""
    d = precision.shape[1]
    weight = noise[:, None, None]
    precisions = gram[:, :, :d, :d] * weight[..., None]
    diagonal = np.arange(d)
    precisions[:, :, diagonal, diagonal] += precision
    right = gram[:, :, d, :d] * weight + prior
    return np.linalg.solve(precisions, right[..., None])[..., 0], precisions


def _noise(
    samples: MovieSamples,
    gram: FloatArray,
    precision: FloatArray,
    means: FloatArray,
    noise: FloatArray,
    counts: NDArray[np.int64],
) -> FloatArray:
    """Return the posterior mean of users' noise precisions given their expected squared residuals.

    What the uncertainty of the factors adds to the squares is taken from the diagonal alone.
    """
    d = precision.shape[1]
    fitted = np.einsum("usij,usj->usi", gram[:, :, :d, :d], means) - 2 * gram[:, :, d, :d]
    squares = gram[:, :, d, d] + np.einsum("usi,usi->us", fitted, means)
    size = np.einsum("usii->usi", gram)[:, :, :d]
    squares = np.maximum(squares, 0) + (size / (noise[:, None, None] * size + precision)).sum(axis=2)
    shape = (samples.noise_shape + counts / 2).astype(np.float32)
    estimate: FloatArray = shape / (samples.noise_rate + squares.mean(axis=1) / 2)
    return estimate
