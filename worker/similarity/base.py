"""The one interface of all similarities: a movie in, the movies most similar to it out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from worker.arrays import artifact_errors, map_array, require_finite, save_array
from worker.models.training_data import TrainingData


class Similarity(ABC):
    """Finds the movies that are most similar to one.

    It is made by :meth:`fit` or :meth:`load`, never changes, and may be used by several threads. Its columns
    are the movies of the model that it is stored with, the better-known first.

    Attributes
    ----------
    name : str
        Name in the registry, and in file names.
    contents : str
        What its files hold, for error messages.
    array_names : tuple of str
        Arrays that are stored.
    """

    name: ClassVar[str]
    contents: ClassVar[str]
    array_names: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def fit(cls, data: TrainingData) -> Self:
        """Fit to the data that the model is fitted to."""

    @property
    @abstractmethod
    def n_movies(self) -> int:
        """Number of movies."""

    @abstractmethod
    def nearest(
        self, column: int, excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the movies most similar to one, never itself.

        Parameters
        ----------
        column : int
            The movie.
        excluded : ndarray of bool, shape (n_movies,), optional
            Movies that must not be returned.

        Returns
        -------
        columns : ndarray of intp
            At most as many as ``RULES[Kind.SIMILAR]`` allows, the most similar first; of equal ones the
            better-known movie, in the lower column.
        scores : ndarray of float64, same shape
            From 0 to 1, rounded as they are shown.
        """

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of ``array_names``, which :meth:`from_arrays` takes."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Self:
        """Rebuild from :meth:`arrays`, which may be memory-mapped and read-only.

        Raises
        ------
        ValueError
            If arrays do not fit each other.
        """

    @classmethod
    def path(cls, directory: Path, array: str) -> Path:
        """Return the file of an array in the directory of a model version."""
        return directory / f"similarity.{cls.name}.{array}.npy"

    @classmethod
    def is_saved(cls, directory: Path) -> bool:
        """Tell whether a model version has it; one of an older release may not."""
        return any(cls.path(directory, array).exists() for array in cls.array_names)

    def save(self, directory: Path) -> None:
        """Write the arrays as ``.npy`` files into an existing directory."""
        for name, array in self.arrays().items():
            save_array(self.path(directory, name), array)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Map the arrays of a directory read-only.

        Raises
        ------
        ArtifactError
            If they are not those of this similarity.
        UnreadableArtifactError
            If one cannot be read.
        """
        with artifact_errors(f"{directory} does not hold usable {cls.contents}"):
            arrays = {name: map_array(cls.path(directory, name)) for name in cls.array_names}
            similarity = cls.from_arrays(arrays)
            require_finite(arrays.items())
            return similarity
