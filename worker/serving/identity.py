"""Tells whether a movie of one data set is the same in another.

It is in this room because answers depend on it: a model may be of other data than the database holds. A
training only writes the numbers into the version that is going to be served.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from worker.arrays import Layout, artifact_errors, map_array, require_layouts, save_array
from worker.ids import IdIndex

_FILE = "movies.identity.npy"


def identities(titles: Iterable[str], genres: Iterable[str]) -> NDArray[np.uint64]:
    """Return a number for each movie that depends on its title and its genres alone.

    Parameters
    ----------
    titles : iterable of str, length n_movies
    genres : iterable of str, length n_movies
        Joined by ``|``.

    Returns
    -------
    ndarray of uint64, shape (n_movies,)
    """
    return np.fromiter(
        (
            xxhash.xxh3_64_intdigest(f"{title}\0{own}".encode())
            for title, own in zip(titles, genres, strict=True)
        ),
        dtype=np.uint64,
    )


def save_identities(directory: Path, numbers: NDArray[np.uint64]) -> None:
    """Write the identities of a model's movies, in its order, beside the model."""
    save_array(directory / _FILE, numbers)


def load_identities(directory: Path, n_movies: int) -> NDArray[np.uint64] | None:
    """Return what was saved; None for a version of a release that saved none.

    Raises
    ------
    ArtifactError
        If the file is not an array of a number for each movie.
    UnreadableArtifactError
        If it cannot be read.
    """
    path = directory / _FILE
    with artifact_errors(f"{path} cannot be used"):
        if not path.exists():
            return None
        numbers = map_array(path)
        require_layouts({"identities": numbers}, {"identities": Layout((n_movies,), ("uint64",))})
        return numbers


def other_movies(
    movie_ids: NDArray[np.int32],
    known: NDArray[np.uint64] | None,
    found_ids: Sequence[int],
    found: NDArray[np.uint64],
) -> NDArray[np.bool_]:
    """Tell which movies of a model are other ones in the database, or none.

    Parameters
    ----------
    movie_ids : ndarray of int32, shape (n_movies,)
        Of the model.
    known : ndarray of uint64, shape (n_movies,), or None
        Their identities; None if nobody knows, so that all count as others.
    found_ids : sequence of int, length n_found
        Movies in the database.
    found : ndarray of uint64, shape (n_found,)
        Their identities.

    Returns
    -------
    ndarray of bool, shape (n_movies,)
    """
    if known is None or not len(found):
        return np.ones(len(movie_ids), dtype=bool)
    places = IdIndex(np.asarray(found_ids, dtype=np.int64)).find(movie_ids)
    different: NDArray[np.bool_] = (places < 0) | (found[places] != known)
    return different
