"""The ratings of the users whom a model is asked about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class RatingsBatch:
    """The ratings of several users, one after the other (compressed rows).

    Attributes
    ----------
    user_ids : ndarray of int32, shape (n_users,)
        0 stands for a visitor without an id.
    indptr : ndarray of int64, shape (n_users + 1,)
        Ratings of user ``i`` are ``indptr[i]:indptr[i + 1]``.
    movie_ids : ndarray of int32, shape (n_ratings,)
        MovieLens ids; a model ignores those it does not know.
    ratings : ndarray of float32, shape (n_ratings,)
        Stars.
    timestamps : ndarray of int64, shape (n_ratings,), optional
        Seconds since 1970, UTC; only :meth:`worker.models.base.Model.offsets_at` asks for them.
    """

    user_ids: NDArray[np.int32]
    indptr: NDArray[np.int64]
    movie_ids: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    def select(self, rows: Sequence[int]) -> "RatingsBatch":
        """Return the batch of some of the users, in the given order."""
        spans = [(self.indptr[row], self.indptr[row + 1] - self.indptr[row]) for row in rows]
        return self.take_spans(spans, self.user_ids[list(rows)])

    def take_spans(self, spans: Sequence[tuple[int, int]], user_ids: NDArray[np.int32]) -> "RatingsBatch":
        """Return the batch whose user ``i`` has the ratings of ``spans[i]``, a start and a length."""
        indptr = np.concatenate([[0], np.cumsum([length for _, length in spans])]).astype(np.int64)
        take = np.concatenate(
            [np.empty(0, dtype=np.int64), *(np.arange(start, start + length) for start, length in spans)]
        )
        return RatingsBatch(
            user_ids=user_ids,
            indptr=indptr,
            movie_ids=self.movie_ids[take],
            ratings=self.ratings[take],
            timestamps=None if self.timestamps is None else self.timestamps[take],
        )


def ratings_batch(
    user_ids: Sequence[int], owners: ArrayLike, movie_ids: ArrayLike, ratings: ArrayLike
) -> RatingsBatch:
    """Make a batch of ratings in any order.

    Parameters
    ----------
    user_ids : sequence of int
        Users of the batch, in its order; one may occur twice.
    owners, movie_ids, ratings : array_like, shape (n_ratings,)
        Who rated which movie with how many stars.

    Returns
    -------
    RatingsBatch
        Ratings of each user by movie id, so that sums do not depend on the order in which they come.
    """
    raters = np.asarray(owners, dtype=np.int64)
    movies = np.asarray(movie_ids, dtype=np.int32)
    stars = np.asarray(ratings, dtype=np.float32)
    if not _ascend(raters, movies):
        order = np.lexsort((movies, raters))
        raters, movies, stars = raters[order], movies[order], stars[order]
    starts = np.searchsorted(raters, user_ids, side="left")
    lengths = np.searchsorted(raters, user_ids, side="right") - starts
    whole = RatingsBatch(np.asarray(user_ids, dtype=np.int32), np.empty(0, dtype=np.int64), movies, stars)
    spans = list(zip(starts.tolist(), lengths.tolist(), strict=True))
    return whole.take_spans(spans, whole.user_ids)


def _ascend(first: NDArray[np.integer], second: NDArray[np.integer]) -> bool:
    """Tell whether pairs are in order, as a database that keeps them so returns them."""
    step = np.diff(first)
    return bool(np.all((step > 0) | ((step == 0) & (np.diff(second) > 0))))
