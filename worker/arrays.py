"""Arrays on disk, as ``.npy`` files."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class _Writer:
    """What numpy does not take for a file: into one it writes through C and loses why the disk refused."""

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
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
