"""Finds the places of ids in an array."""

import numpy as np
from numpy.typing import NDArray

_HIGHEST_LISTED = 2**21
"""Id up to which a table has a place for each, 8 MB: to search takes milliseconds a batch."""


class IdIndex:
    """Where each id stands in an array.

    Ids are looked up in a table of all possible ones, which is several times faster than a search, unless
    they are too high for such a table; those of MovieLens are small.

    Parameters
    ----------
    ids : ndarray of int, shape (n,)
        Distinct, in any order.
    highest_listed : int
        Highest id for which a table is made, of four bytes an id.

    Examples
    --------
    >>> IdIndex(np.array([50, 7])).find(np.array([7, 8, 50, -1])).tolist()
    [1, -1, 0, -1]
    """

    def __init__(self, ids: NDArray[np.integer], highest_listed: int = _HIGHEST_LISTED) -> None:
        highest = int(np.max(ids, initial=0))
        self._table: NDArray[np.int32] | None = None
        if highest <= highest_listed and np.min(ids, initial=1) >= 1:
            # With an id that is not there at either end, to which all others beyond are moved.
            self._table = np.full(highest + 2, -1, dtype=np.int32)
            self._table[ids] = np.arange(len(ids))
        else:
            self._order = np.argsort(ids).astype(np.int32)
            self._sorted = np.asarray(ids)[self._order]

    def find(self, wanted: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the place of each wanted id, -1 for one that is not there."""
        if self._table is not None:
            return self._table.take(wanted, mode="clip")
        places = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        return np.where(self._sorted[places] == wanted, self._order[places], np.int32(-1))
