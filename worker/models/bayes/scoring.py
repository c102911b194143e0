"""Scores movies for users worked out by :mod:`worker.models.bayes.posterior`, and explains the scores."""

import numpy as np
from numpy.typing import NDArray

from worker.models.bayes.bounds import lower_bounds
from worker.models.bayes.features import FloatArray
from worker.models.bayes.posterior import MovieSamples, Users, design


def score(samples: MovieSamples, users: Users) -> FloatArray:
    """Return expected ratings of all movies, in one matrix product.

    Returns
    -------
    ndarray of float32, shape (n_users, n_movies)
    """
    left, constants = _factors(samples, users)
    scores: FloatArray = left.astype(np.float32) @ samples.means.reshape(len(samples.means), -1).T
    scores += constants[:, None].astype(np.float32)
    return scores


def _factors(samples: MovieSamples, users: Users) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return users as vectors whose product with a movie's means, plus a constant, is the score.

    Returns
    -------
    vectors : ndarray of float64, shape (n_users, S * d)
    constants : ndarray of float64, shape (n_users,)
    """
    n_samples, d = samples.means.shape[1:]
    left = users.means.astype(np.float64) / n_samples
    constants = samples.global_mean + left[:, :, d - 1].sum(axis=1)
    left[:, :, d - 1] = 1 / n_samples
    return left.reshape(-1, n_samples * d), constants


def score_bounds(samples: MovieSamples, users: Users) -> tuple[FloatArray, FloatArray]:
    """Return lower bounds of all expected ratings, and how wide the bounds are.

    Returns
    -------
    lower : ndarray of float32, shape (n_users, n_movies)
    widths : ndarray of float32, shape (n_users,)
        The upper bound is ``lower + widths[:, None] * samples.bounds[:, -1]``.
    """
    left, constants = _factors(samples, users)
    lower, widths = lower_bounds(left, samples.bounds, samples.directions)
    lower += constants[:, None].astype(np.float32)
    return lower, widths


def score_exactly(samples: MovieSamples, users: Users, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return expected ratings of some movies in double precision.

    Parameters
    ----------
    samples : MovieSamples
    users : Users
    columns : ndarray of intp, shape (n_columns,)

    Returns
    -------
    ndarray of float64, shape (n_users, n_columns)
    """
    left, constants = _factors(samples, users)
    movies = samples.means[columns].astype(np.float64)
    scores: NDArray[np.float64] = left @ movies.reshape(len(movies), -1).T
    scores += constants[:, None]
    return scores


def deviations(samples: MovieSamples, users: Users, columns: NDArray[np.intp]) -> FloatArray:
    """Return standard deviations of expected ratings, without the noise of a rating itself.

    Variance between samples, of the conditional mean with the movie as drawn, plus the mean over samples of
    the variance within, from the user's conditional covariance.

    Parameters
    ----------
    samples : MovieSamples
    users : Users
    columns : ndarray of intp, shape (n_columns,)

    Returns
    -------
    ndarray of float32, shape (n_users, n_columns)
    """
    d = samples.means.shape[2]
    rows = samples.draws[columns]
    rows /= rows[:, :, d - 1 : d]
    bias = -rows[:, :, d] - np.float32(samples.global_mean)
    movies = np.ascontiguousarray(rows[:, :, :d].transpose(1, 2, 0))  # S, d, n
    result: FloatArray = np.empty((len(users.means), len(columns)), dtype=np.float32)
    for user, (means, precisions) in enumerate(zip(users.means, users.precisions, strict=True)):
        between = np.matmul(means[:, None, :], movies)[:, 0, :] + bias.T
        lower = np.linalg.inv(np.linalg.cholesky(precisions))
        within = (np.matmul(lower, movies) ** 2).sum(axis=1).mean(axis=0)
        # With one sample there is no spread to see between samples.
        spread = between.var(axis=0, ddof=1) if len(between) > 1 else 0.0
        result[user] = np.sqrt(spread + within)
    return result


def contributions(
    samples: MovieSamples,
    users: Users,
    user: int,
    rated: NDArray[np.intp],
    values: NDArray[np.float32],
    columns: NDArray[np.intp],
) -> tuple[FloatArray, FloatArray]:
    """Divide one user's scores among the ratings; exact, because the conditional mean is linear in them.

    Parameters
    ----------
    samples : MovieSamples
    users : Users
    user : int
        Row of ``users``.
    rated : ndarray of intp, shape (n_ratings,)
        This user's movies.
    values : ndarray of float32, shape (n_ratings,)
        This user's ratings.
    columns : ndarray of intp, shape (n_columns,)
        Movies whose scores are explained.

    Returns
    -------
    base : ndarray of float32, shape (n_columns,)
        The score before any star was given (but knowing what was rated).
    parts : ndarray of float32, shape (n_columns, n_ratings)
        What each rating added; ``base + parts.sum(axis=1)`` is the score.
    """
    n_samples, d = samples.means.shape[1:]
    movies: FloatArray = np.array(samples.means[columns], dtype=np.float32)
    bias = movies[:, :, d - 1].mean(axis=1)
    movies[:, :, d - 1] = 1
    weights = np.linalg.solve(users.precisions[user], movies.transpose(1, 2, 0))  # S, d, n_columns
    base = samples.global_mean + bias + np.einsum("sdc,sd->c", weights, users.prior[user]) / n_samples
    rows = design(samples, rated, values)
    pulls = rows[:, :, :d] * rows[:, :, d:] * (users.noise[user] / n_samples)  # n_ratings, S, d
    parts: FloatArray = np.tensordot(weights, pulls, axes=([0, 1], [1, 2])).astype(np.float32)
    return base.astype(np.float32), parts
