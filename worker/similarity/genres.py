"""Finds movies with similar genres, by the cosine of TF-IDF vectors."""

from pathlib import Path
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from shared.contract.kinds import RULES, Kind
from shared.genres import split_genres
from worker.arrays import Layout, require_layouts
from worker.models.training_data import TrainingData
from worker.similarity.base import Similarity
from worker.top_k import top_k

_ROUNDING = 1e-6


class GenreSimilarity(Similarity):
    """TF-IDF vectors of the genres of a catalogue.

    Movies with the same genres share a vector, of which there are few (1,300 for 27,000 movies), so that a
    movie's cosines cost microseconds and equal genres give equal cosines to the last bit.

    Parameters
    ----------
    vectors : ndarray of float64, shape (n_combinations, n_genres)
        One of unit length for each combination of genres, zero for a combination without any.
    combinations : ndarray of int32, shape (n_movies,)
        Row of each movie's vector; movies in catalogue order, the better-known first.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])  # of War, of Drama, and of both
    >>> similarity = GenreSimilarity(vectors, np.array([0, 1, 2, 0]))
    >>> [found.tolist() for found in similarity.nearest(2)]
    [[1, 0, 3], [0.8, 0.6, 0.6]]
    """

    name = "genres"
    contents = "genre vectors"
    array_names = ("vectors", "combinations")

    def __init__(self, vectors: NDArray[np.float64], combinations: NDArray[np.int32]) -> None:
        self.vectors = vectors
        self.combinations = combinations

    @classmethod
    def fit(cls, data: TrainingData) -> Self:
        """Weigh genres by how rare they are."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # training only

        genres = data.catalogue.genres
        distinct, combinations = np.unique(np.array(genres, dtype=object), return_inverse=True)
        if not any(distinct):
            return cls(np.zeros((len(distinct), 1)), combinations.astype(np.int32))
        vectorizer = TfidfVectorizer(analyzer=split_genres)
        vectorizer.fit(genres)
        return cls(vectorizer.transform(distinct).toarray(), combinations.astype(np.int32))

    @property
    def n_movies(self) -> int:
        """Number of movies."""
        return len(self.combinations)

    def nearest(
        self, column: int, excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the movies most similar to one.

        Only movies that share a genre count, so a movie without genres has none. Cosines that show the same
        two decimals are equal; of equals the better-known movie comes first.

        Parameters
        ----------
        column : int
            The movie, in catalogue order.
        excluded : ndarray of bool, shape (n_movies,), optional
            Movies that are like none.

        Returns
        -------
        columns : ndarray of intp, shape (at most 100,)
        cosines : ndarray of float64, same shape
            Rounded to two decimals.
        """
        rule = RULES[Kind.SIMILAR]
        cosines = self.vectors @ self.vectors[self.combinations[column]]
        rounded = np.round(np.minimum(cosines, 1.0), rule.decimals)
        rounded[cosines <= 0] = -np.inf
        scores = rounded[self.combinations]
        scores[column] = -np.inf
        if excluded is not None:
            scores[excluded] = -np.inf
        columns = top_k(scores, rule.limit)
        return columns, scores[columns]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what is stored; see :meth:`Similarity.arrays`."""
        return {"vectors": self.vectors, "combinations": self.combinations}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Self:
        """Rebuild; see :meth:`Similarity.from_arrays`.

        Raises
        ------
        ValueError
            If vectors are not of unit length, or movies have vectors that are not there.
        """
        vectors = cast(NDArray[np.float64], arrays["vectors"])
        combinations = cast(NDArray[np.int32], arrays["combinations"])
        require_layouts(
            arrays,
            {
                "vectors": Layout((len(vectors), vectors.shape[1]), ("float64",)),
                "combinations": Layout((len(combinations),), ("int32",)),
            },
        )
        lengths = np.einsum("ij,ij->i", vectors, vectors)
        if ((lengths > _ROUNDING) & (abs(lengths - 1) > _ROUNDING)).any():
            raise ValueError("vectors are neither of unit length nor zero")
        if np.min(combinations, initial=0) < 0 or np.max(combinations, initial=-1) >= len(vectors):
            raise ValueError(f"combinations has rows that the {len(vectors)} vectors do not")
        return cls(vectors, combinations)

    @classmethod
    def path(cls, directory: Path, array: str) -> Path:
        """Return the file of an array: without a name, as when there was no other similarity."""
        return directory / f"similarity.{array}.npy"
