"""The one interface of all models: ratings in, scores for all movies out."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.algorithms import AlgorithmConfig
from shared.contract.kinds import MIN_ID
from shared.progress import Progress, silent
from worker.arrays import artifact_errors, map_array, require_finite, save_array

Float = NDArray[np.float32] | NDArray[np.float64]

_DECIMALS = 9
"""Digits of a score that are the same however it is summed up in double precision."""

_ROUGHNESS = 1e-3
"""How far a single-precision score may be from the exact one, with room to spare: 1e-5 is usual."""

MAX_STARS = 5.0
"""Highest end of a rating scale: larger scores do not fit into a ranking."""

_HIGHEST_LISTED = 2**21
"""Id of a movie up to which a table has a place for each, 8 MB: to search takes milliseconds a batch."""

_BLOCK_SIZE, _BLOCKS_FOR_EACH = 16, 8
"""Of the search for the ``k``-th best: see :func:`_at_most_kth`."""


@dataclass(frozen=True)
class Catalogue:
    """The movies of a model, best known first.

    Attributes
    ----------
    movie_ids : ndarray of int32, shape (n_movies,)
        MovieLens ids, by number of ratings descending, then id ascending. This order is what breaks ties
        everywhere: of two equal scores the better-known movie comes first.
    rating_counts : ndarray of int32, shape (n_movies,)
        Ratings of each in the training data.
    genres : list of str, length n_movies
        Genres joined by ``|``.
    years : ndarray of int16, shape (n_movies,)
        Year of release, 0 where unknown.
    """

    movie_ids: NDArray[np.int32]
    rating_counts: NDArray[np.int32]
    genres: list[str]
    years: NDArray[np.int16]


@dataclass(frozen=True)
class TrainingData:
    """Ratings as arrays, sorted by user; users and movies as dense indices.

    Attributes
    ----------
    catalogue : Catalogue
        All movies, also those that nobody rated.
    user_ids : ndarray of int32, shape (n_users,)
        Ascending; ``user_ids[i]`` is the user with index ``i``.
    users, movies : ndarray of int32, shape (n_ratings,)
        Indices into ``user_ids`` and ``catalogue.movie_ids``; ``users`` is non-decreasing.
    ratings : ndarray of float32, shape (n_ratings,)
        Stars.
    timestamps : ndarray of int64, shape (n_ratings,)
        Seconds since 1970, UTC.
    scale : tuple of float
        Lowest and highest rating that the data set allows.
    """

    catalogue: Catalogue
    user_ids: NDArray[np.int32]
    users: NDArray[np.int32]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    scale: tuple[float, float]


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
        Seconds since 1970, UTC; only :meth:`Model.offsets_at` asks for them.
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


@dataclass(frozen=True)
class Bounds:
    """Between what the scores of users lie, up to rounding.

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


class Model(ABC):
    """A fitted recommender.

    A model is made by :meth:`fit` or :meth:`load`, never changes, and may be used by several threads. Its
    columns are the movies of ``movie_ids``, in that order.
    """

    algorithm: ClassVar[str]

    def __init__(self, movie_ids: NDArray[np.int32], scale: tuple[float, float]) -> None:
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
        """Estimate every movie for each user of a batch.

        Parameters
        ----------
        batch : RatingsBatch
            Ratings of the users; unknown movies are ignored, and a user without ratings is an average one.

        Returns
        -------
        ndarray of float32 or float64, shape (n_users, n_movies)
            Estimated stars, *not* clipped to the scale (:meth:`clip` does), so that movies above the top of
            the scale still have an order.
        """
        return self._score(self._solve(batch))

    def best(
        self, batch: RatingsBatch, k: int, excluded: NDArray[np.bool_] | None = None
    ) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Return the best movies that each user has not rated.

        They are the same to the last digit whoever else is in the batch. A matrix product sums in another
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

    def _bounds(self, users: Any) -> "Bounds":
        """Return bounds of the scores of all movies, cheaper to have than the scores if there is a way."""
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
        cls, movie_ids: NDArray[np.int32], scale: tuple[float, float], arrays: dict[str, NDArray[np.generic]]
    ) -> Self:
        """Rebuild a model from :meth:`arrays`, which may be memory-mapped and read-only."""

    def clip(self, scores: Float) -> Float:
        """Return scores moved into the rating scale."""
        low, high = self.scale
        clipped: Float = np.clip(scores, low, high)  # type: ignore[assignment]  # numpy's stub loses the type
        return clipped

    @cached_property
    def _sorted_ids(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        order = np.argsort(self.movie_ids)
        return np.asarray(self.movie_ids)[order], order

    @cached_property
    def _columns_by_id(self) -> NDArray[np.int32] | None:
        """Columns by id, with an unknown movie at either end, unless ids are too high for such a table."""
        highest = int(np.max(self.movie_ids, initial=0))
        if highest > _HIGHEST_LISTED or np.min(self.movie_ids, initial=1) < 1:
            return None
        columns = np.full(highest + 2, -1, dtype=np.int32)
        columns[self.movie_ids] = np.arange(len(self.movie_ids))
        return columns

    def columns(self, movie_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the column of each movie, -1 for one that the model does not know.

        Parameters
        ----------
        movie_ids : ndarray of int32, shape (n,)

        Returns
        -------
        ndarray of intp, shape (n,)
        """
        if self._columns_by_id is not None:
            return self._columns_by_id.take(movie_ids, mode="clip").astype(np.intp)
        ids, order = self._sorted_ids
        if len(ids) == 0:
            return np.full(len(movie_ids), -1, dtype=np.intp)
        places = np.minimum(np.searchsorted(ids, movie_ids), len(ids) - 1)
        return np.where(ids[places] == movie_ids, order[places], -1)

    def save(self, directory: Path) -> None:
        """Write the arrays as ``.npy`` files into an existing directory."""
        save_array(directory / "movie_ids.npy", self.movie_ids)
        (directory / "scale.json").write_text(json.dumps(self.scale), encoding="utf-8")
        for name, array in self.arrays().items():
            save_array(directory / f"{self.algorithm}.{name}.npy", array)

    def check(self) -> None:
        """Refuse what nobody could rank movies with, however it came about.

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
            low, high = json.loads((directory / "scale.json").read_text(encoding="utf-8"))
            arrays = {
                path.name.removeprefix(prefix).removesuffix(".npy"): map_array(path)
                for path in sorted(directory.glob(f"{prefix}*.npy"))
            }
            model = cls.from_arrays(movie_ids, (float(low), float(high)), arrays)
            model.check()
            return model
