"""The one interface of all models: ratings in, scores for all movies out."""

import json
from abc import ABC, abstractmethod
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from shared.algorithms import AlgorithmConfig
from shared.contract.kinds import MIN_ID
from shared.progress import Progress, silent
from worker.arrays import Float, artifact_errors, map_array, require_finite, save_array
from worker.ids import IdIndex
from worker.models.candidates import Bounds
from worker.models.ratings import RatingsBatch
from worker.models.training_data import TrainingData

_DECIMALS = 9
"""Digits of a score that are the same however it is summed up in double precision."""

MAX_STARS = 5.0
"""Highest end of a rating scale: larger scores do not fit into a ranking."""


Scale = tuple[float, float]
"""Lowest and highest rating, in stars."""


class Model(ABC):
    """A fitted recommender.

    A model is made by :meth:`fit` or :meth:`load`, never changes, and may be used by several threads. Its
    columns are the movies of ``movie_ids``, in that order.

    Attributes
    ----------
    algorithm : str
        Name in the registry, and in file names.
    movie_ids : ndarray of int32, shape (n_movies,)
        MovieLens ids.
    scale : tuple of float, or None
        Between which ratings are, for a model whose scores are estimates in stars; None for one whose scores
        only say which movies come first.
    """

    algorithm: ClassVar[str]

    def __init__(self, movie_ids: NDArray[np.int32], scale: Scale | None) -> None:
        self.movie_ids = movie_ids
        self.scale = scale

    @classmethod
    @abstractmethod
    def fit(cls, data: TrainingData, config: AlgorithmConfig, progress: Progress = silent) -> Self:
        """Fit to ratings.

        Parameters
        ----------
        data : TrainingData
            At least one rating.
        config : AlgorithmConfig
            Of the class that the algorithm is registered with.
        progress : callable
            Told after each epoch or sweep.
        """

    def score(self, batch: RatingsBatch) -> Float:
        """Score every movie for each user of a batch.

        Parameters
        ----------
        batch : RatingsBatch
            Ratings of the users; unknown movies are ignored, and a user without ratings is an average one.

        Returns
        -------
        ndarray of float32 or float64, shape (n_users, n_movies)
            The higher, the better. Stars, if the model has a scale, but *not* clipped to it (:meth:`clip`
            does), so that movies above the top of the scale still have an order.
        """
        return self._score(self._solve(batch))

    def best(
        self, batch: RatingsBatch, k: int, excluded: NDArray[np.bool_] | None = None
    ) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Return the best movies that each user has not rated.

        They are the same to the last digit in any batch. A matrix product sums in another
        order for another shape, so it only finds candidates: they are scored again in double precision, and
        what is equal in nine decimals counts as equal.

        Parameters
        ----------
        batch : RatingsBatch
        k : int
            How many at most.
        excluded : ndarray of bool, shape (n_movies,), optional
            Columns that nobody gets.

        Returns
        -------
        list of (columns, scores)
            Of each user: columns of the movies, ndarray of intp, and their scores, ndarray of float64, both
            of shape (at most k,), best first; of equal ones the better-known movie, in the lower column.
        """
        users = self._solve(batch)
        bounds = self._bounds(users)
        owners = np.repeat(np.arange(len(batch)), np.diff(batch.indptr))
        rated = self.columns(batch.movie_ids)
        known = rated >= 0
        bounds.lower[owners[known], rated[known]] = -np.inf
        if excluded is not None:
            bounds.lower[:, excluded] = -np.inf
        candidates = [bounds.candidates(row, k) for row in range(len(batch))]
        found = np.zeros(len(self.movie_ids), dtype=bool)
        for columns in candidates:
            found[columns] = True
        wanted = np.flatnonzero(found)
        place = np.cumsum(found) - 1
        exact = self._score_exactly(users, wanted)
        # All users at once, up to the sorting: for a few hundred numbers NumPy takes longer to begin.
        lengths = [len(columns) for columns in candidates]
        joined = np.concatenate([np.empty(0, dtype=np.intp), *candidates])
        scores = np.round(exact[np.repeat(np.arange(len(batch)), lengths), place[joined]], _DECIMALS)
        descending = -scores
        best = []
        for start, end in pairwise(accumulate(lengths, initial=0)):
            # Columns ascend, so that equals stay in order.
            chosen = start + descending[start:end].argsort(kind="stable")[:k]
            best.append((joined[chosen], scores[chosen]))
        return best

    @abstractmethod
    def _solve(self, batch: RatingsBatch) -> Any:
        """Return the user side of a batch, in whatever form the other methods take it."""

    @abstractmethod
    def _score(self, users: Any) -> Float:
        """Return the scores of all movies; see :meth:`score`. The caller may change the array."""

    def _bounds(self, users: Any) -> Bounds:
        """Return bounds of the scores of all movies; a model that has cheaper ones overrides it."""
        return Bounds(self._score(users))

    @abstractmethod
    def _score_exactly(self, users: Any, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the scores of some movies in double precision, shape (n_users, n_columns)."""

    def offsets_at(
        self, batch: RatingsBatch, rows: NDArray[np.intp], timestamps: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return what to add to scores of users at given moments, e.g. for their mood of that day.

        :meth:`score` is for now, when nothing is known of the mood. An offset is the same for all movies, so
        it never changes an order.

        Parameters
        ----------
        batch : RatingsBatch
        rows : ndarray of intp, shape (n,)
            Users, as rows of the batch.
        timestamps : ndarray of int64, shape (n,)
            Seconds since 1970, UTC.

        Returns
        -------
        ndarray of float32, shape (n,)
            Stars; 0 in a model that knows no time.

        Raises
        ------
        ValueError
            If the model knows of time and the batch does not.
        """
        return np.zeros(len(rows), dtype=np.float32)

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what :meth:`from_arrays` needs, by name; no object arrays."""

    @classmethod
    @abstractmethod
    def from_arrays(
        cls, movie_ids: NDArray[np.int32], scale: Scale | None, arrays: dict[str, NDArray[np.generic]]
    ) -> Self:
        """Rebuild a model from :meth:`arrays`, which may be memory-mapped and read-only."""

    def clip(self, scores: Float) -> Float:
        """Return scores moved into the rating scale; as they are in a model that has none."""
        if self.scale is None:
            return scores
        low, high = self.scale
        clipped: Float = np.clip(scores, low, high)  # type: ignore[assignment]  # numpy's stub loses the type
        return clipped

    @cached_property
    def _columns_by_id(self) -> IdIndex:
        return IdIndex(self.movie_ids)

    def columns(self, movie_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the column of each movie, -1 for one that the model does not know.

        Parameters
        ----------
        movie_ids : ndarray of int32, shape (n,)

        Returns
        -------
        ndarray of intp, shape (n,)
        """
        return self._columns_by_id.find(movie_ids).astype(np.intp)

    def save(self, directory: Path) -> None:
        """Write the arrays as ``.npy`` files into an existing directory."""
        save_array(directory / "movie_ids.npy", self.movie_ids)
        (directory / "scale.json").write_text(json.dumps(self.scale), encoding="utf-8")
        for name, array in self.arrays().items():
            save_array(directory / f"{self.algorithm}.{name}.npy", array)

    def check(self) -> None:
        """Refuse a model that movies cannot be ranked with.

        That arrays fit each other is for :meth:`from_arrays` to see.

        Raises
        ------
        ValueError
            If a number is not finite, or movies or the rating scale make no sense.
        """
        ids = self.movie_ids
        if ids.ndim != 1 or ids.dtype != np.int32 or len(ids) == 0:
            raise ValueError(f"movie_ids is {ids.dtype} of shape {ids.shape} instead of int32 of some movies")
        ordered = np.sort(ids)
        if ordered[0] < MIN_ID or (ordered[1:] == ordered[:-1]).any():
            raise ValueError("movie_ids has ids that occur twice or are not positive")
        if self.scale is not None:
            low, high = self.scale
            if not 0 <= low < high <= MAX_STARS:  # nor is NaN
                raise ValueError(f"the rating scale is {low} to {high}")
        require_finite(self.arrays().items())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Map the arrays of a directory read-only.

        Raises
        ------
        ArtifactError
            If they are not those of a model that movies can be ranked with.
        UnreadableArtifactError
            If one cannot be read.
        """
        prefix = f"{cls.algorithm}."
        with artifact_errors(f"{directory} does not hold a usable {cls.algorithm} model"):
            movie_ids = map_array(directory / "movie_ids.npy")
            scale = json.loads((directory / "scale.json").read_text(encoding="utf-8"))
            if scale is not None:
                low, high = scale
                scale = float(low), float(high)
            arrays = {
                path.name.removeprefix(prefix).removesuffix(".npy"): map_array(path)
                for path in sorted(directory.glob(f"{prefix}*.npy"))
            }
            model = cls.from_arrays(movie_ids, scale, arrays)
            model.check()
            return model
