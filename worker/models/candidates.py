"""Finds the movies that may be among the best, from bounds of their scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.arrays import Float

_ROUGHNESS = 1e-3
"""How far a single-precision score may be from the exact one, with room to spare: 1e-5 is usual."""

_BLOCK_SIZE, _BLOCKS_FOR_EACH = 16, 8
"""Of the search for the ``k``-th best: see :func:`_at_most_kth`."""


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bounds of users' scores, up to rounding.

    Attributes
    ----------
    lower : ndarray of float32 or float64, shape (n_users, n_movies)
        -inf for what must not be chosen.
    user_widths : ndarray, shape (n_users,), optional
    movie_widths : ndarray, shape (n_movies,), optional
        The upper bounds are ``lower + user_widths[:, None] * movie_widths``; ``lower`` if not given.
    """

    lower: Float
    user_widths: Float | None = None
    movie_widths: Float | None = None

    def candidates(self, row: int, k: int) -> NDArray[np.intp]:
        """Return the columns, ascending, that may be among the best ``k`` of a user."""
        lower = self.lower[row]
        enough = _at_most_kth(lower, k)
        if enough == -np.inf:
            return np.flatnonzero(lower > -np.inf)
        upper = lower
        if self.user_widths is not None and self.movie_widths is not None:
            upper = self.movie_widths * self.user_widths[row] + lower
        return np.flatnonzero(upper >= enough - _ROUGHNESS)


def _at_most_kth(scores: Float, k: int) -> float:
    """Return a number that at least ``k`` scores reach, and hardly more; -inf if there are too few.

    The movies are dealt out to blocks; of the best of each block the ``k``-th best is not above that of all
    movies, nor far below it if there are many more blocks than ``k``. To find it takes a fifth of the time.
    """
    if k > len(scores):
        return -np.inf
    in_block = min(_BLOCK_SIZE, len(scores) // (_BLOCKS_FOR_EACH * max(1, k)))
    if in_block > 1:
        n_blocks = len(scores) // in_block
        scores = scores[: in_block * n_blocks].reshape(in_block, n_blocks).max(axis=0)
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
