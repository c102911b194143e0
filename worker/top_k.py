"""Finds the best of many scores."""

import numpy as np
from numpy.typing import NDArray


def top_k(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Return the columns of the best scores, best first; of equal ones the lower column first.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Minus infinity marks columns that must not be returned.
    k : int
        How many at most.

    Returns
    -------
    ndarray of intp, shape (at most k,)

    Examples
    --------
    >>> top_k(np.array([3.5, -np.inf, 4.0, 3.5]), 2).tolist()
    [2, 0]
    """
    if k < len(scores):
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > kth)
        # Columns of equal score are in order, so that cutting them keeps the lower ones.
        level = np.flatnonzero(scores == kth)[: k - len(above)]
        columns = np.concatenate([above, level])
    else:
        columns = np.arange(len(scores))
    columns = columns[scores[columns] > -np.inf]
    best: NDArray[np.intp] = columns[np.lexsort((columns, -scores[columns]))]
    return best
