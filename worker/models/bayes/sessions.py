"""Estimates the mood of a day: people rate a little higher or lower than usual for a whole sitting.

It shifts all movies alike, so it changes no order and needs no place in the chain; it is estimated from the
residuals that the model leaves. Of all time terms that were tried this is the one that paid; see
``docs/models.md``.

References
----------
Koren, Y. (2009). Collaborative Filtering with Temporal Dynamics. KDD. (There, user biases per day.)
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from worker.models.bayes.features import FloatArray
from worker.models.bayes.posterior import MovieSamples, Ratings, Users

_PRIORS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1e6)


def _fitted(samples: MovieSamples, users: Users, ratings: Ratings) -> FloatArray:
    """Return the expected rating of each rated movie, shape (n_ratings,)."""
    d = samples.means.shape[2]
    result: FloatArray = np.empty(len(ratings.columns), dtype=np.float32)
    for user, (start, stop) in enumerate(pairwise(ratings.indptr)):
        movies = samples.means[ratings.columns[start:stop]]
        products = np.einsum("nsd,sd->n", movies[:, :, : d - 1], users.means[user, :, : d - 1])
        biases = movies[:, :, d - 1].sum(axis=1) + users.means[user, :, d - 1].sum()
        result[start:stop] = (products + biases) / movies.shape[1] + samples.global_mean
    return result


def _session_keys(rows: NDArray[np.integer], timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number per (row, day): a user's ratings of one UTC day are a session."""
    return rows.astype(np.int64) * 1_000_000 + timestamps // 86_400


def session_offsets(
    samples: MovieSamples,
    users: Users,
    ratings: Ratings,
    rated_at: NDArray[np.int64],
    rows: NDArray[np.intp],
    timestamps: NDArray[np.int64],
) -> FloatArray:
    """Return the mood of users at given times: the mean residual of the day, shrunk.

    Parameters
    ----------
    samples : MovieSamples
    users : Users
    ratings : Ratings
    rated_at : ndarray of int64, shape (n_ratings,)
        Seconds since 1970 of ``ratings``.
    rows : ndarray of intp, shape (n,)
        Users that are asked for.
    timestamps : ndarray of int64, shape (n,)
        Times that are asked for.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    if len(rated_at) == 0:
        return np.zeros(len(rows), dtype=np.float32)
    residuals = ratings.values - _fitted(samples, users, ratings)
    raters = np.repeat(np.arange(len(ratings.indptr) - 1), np.diff(ratings.indptr))
    keys, inverse, counts = np.unique(
        _session_keys(raters, rated_at), return_inverse=True, return_counts=True
    )
    offsets = np.bincount(inverse, residuals) / (counts + samples.session_prior)
    asked = _session_keys(rows, timestamps)
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[places] == asked, offsets[places], 0).astype(np.float32)


def session_prior(
    rows: NDArray[np.integer], timestamps: NDArray[np.int64], residuals: NDArray[np.floating]
) -> float:
    """Return how many ratings' worth a day's mood is drawn towards zero by.

    The candidate whose shrunken mean of the other residuals of a user and day predicts the one left out
    best; the greatest means that there is no such thing as a mood.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Users.
    timestamps : ndarray of int64, shape (n,)
    residuals : ndarray of float, shape (n,)
    """
    keys = _session_keys(rows, timestamps)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    others = np.bincount(inverse, residuals)[inverse] - residuals
    n_others = counts[inverse] - 1
    errors = [np.square(residuals - others / (n_others + prior)).sum() for prior in _PRIORS]
    return _PRIORS[int(np.argmin(errors))]
