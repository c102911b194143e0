"""What a model is fitted to: movies and ratings as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelMovies:
    """The movies of a model, best known first.

    Attributes
    ----------
    movie_ids : ndarray of int32, shape (n_movies,)
        MovieLens ids, by number of ratings descending, then id ascending. This order is what breaks ties
        everywhere: of two equal scores the better-known movie comes first.
    rating_counts : ndarray of int32, shape (n_movies,)
        Ratings of each in the training data.
    genres : list of str, length n_movies
        Genres joined by ``|``.
    years : ndarray of int16, shape (n_movies,)
        Year of release, 0 where unknown.
    """

    movie_ids: NDArray[np.int32]
    rating_counts: NDArray[np.int32]
    genres: list[str]
    years: NDArray[np.int16]


@dataclass(frozen=True)
class TrainingData:
    """Ratings as arrays, sorted by user; users and movies as dense indices.

    Attributes
    ----------
    catalogue : ModelMovies
        All movies, also those that nobody rated.
    user_ids : ndarray of int32, shape (n_users,)
        Ascending; ``user_ids[i]`` is the user with index ``i``.
    users, movies : ndarray of int32, shape (n_ratings,)
        Indices into ``user_ids`` and ``catalogue.movie_ids``; ``users`` is non-decreasing.
    ratings : ndarray of float32, shape (n_ratings,)
        Stars.
    timestamps : ndarray of int64, shape (n_ratings,)
        Seconds since 1970, UTC.
    scale : tuple of float
        Lowest and highest rating that the data set allows.
    """

    catalogue: ModelMovies
    user_ids: NDArray[np.int32]
    users: NDArray[np.int32]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    scale: tuple[float, float]
