"""Writes arrays as ``.npy`` files, and checks them before anything is computed with them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from shared.errors import ArtifactError, UnreadableArtifactError

Float = NDArray[np.float32] | NDArray[np.float64]


class _Writer:
    """Hides a file from NumPy, which writes into files through C and loses why the disk refused."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array.

    Raises
    ------
    OSError
        With the reason, for example that no space is left.
    """
    with path.open("wb") as file:
        npy.write_array(_Writer(file), np.asarray(array), allow_pickle=False)


def map_array(path: Path) -> NDArray[Any]:
    """Map an array read-only; as a plain one, since each slice of a ``memmap`` costs microseconds.

    Raises
    ------
    OSError, ValueError
        If it is missing or is not an array of numbers.
    """
    # Not by np.load, which also opens archives.
    return np.asarray(npy.open_memmap(path, mode="r"))


class Layout(NamedTuple):
    """What an array must look like.

    Attributes
    ----------
    shape : tuple of int
        Its exact shape.
    dtypes : tuple of str
        Types that it may have.
    """

    shape: tuple[int, ...]
    dtypes: tuple[str, ...]


def require_layouts(arrays: Mapping[str, NDArray[Any]], layouts: Mapping[str, Layout]) -> None:
    """Refuse arrays that are missing, unknown, or do not fit each other.

    Raises
    ------
    ValueError
        With the first one that is wrong.
    """
    if arrays.keys() != layouts.keys():
        raise ValueError(
            f"arrays are missing or unknown: {', '.join(sorted(arrays.keys() ^ layouts.keys()))}"
        )
    for name, layout in layouts.items():
        array = arrays[name]
        if array.shape != layout.shape or array.dtype not in map(np.dtype, layout.dtypes):
            raise ValueError(
                f"{name} is {array.dtype} of shape {array.shape} instead of "
                f"{' or '.join(layout.dtypes)} of shape {layout.shape}"
            )


def require_finite(arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Refuse arrays with numbers that are not finite.

    Raises
    ------
    ValueError
        With the first one.
    """
    for name, array in arrays:
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has numbers that are not finite")


@contextmanager
def artifact_errors(what: str) -> Iterator[None]:
    """Turn any failure while files are read into an error of ours.

    A file with other bytes in it than an array fails in numpy, ``json`` or ``ast`` in more ways than can be
    listed, and none of them may end a worker.

    Parameters
    ----------
    what : str
        What is wrong then, without a full stop.

    Raises
    ------
    ArtifactError
        If files make no sense.
    UnreadableArtifactError
        If they cannot be read, or there is no memory for them.
    """
    try:
        yield
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError(f"{what}: there is no {error.filename}") from error
    except (OSError, MemoryError) as error:
        raise UnreadableArtifactError(f"{what}: {error or type(error).__name__}") from error
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise ArtifactError(f"{what}: {reason}") from error
