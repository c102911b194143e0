"""Counts what is in the movies of a data set: years, genres and the genres that go together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.datasets.model import Dataset
from shared.genres import split_genres
from worker.exploration.summaries import Summary, count_values, summarise


@dataclass(frozen=True)
class GenrePair:
    """Two genres that occur together.

    Attributes
    ----------
    first, second : str
        The genres, in alphabetical order.
    count : int
        Movies that have both.
    lift : float
        How many times as often as if genres were dealt out independently:
        ``count * n_movies / (movies of first * movies of second)``.
    """

    first: str
    second: str
    count: int
    lift: float


@dataclass(frozen=True, eq=False)
class MovieStatistics:
    """Statistics of the movies of a data set.

    Attributes
    ----------
    n_movies, n_without_genres, n_without_year : int
        Movies in all, those that list no genre, those whose title names no year.
    genres_per_movie : Summary
        Of all movies; one without genres counts as 0, a genre named twice as one.
    genres_per_movie_counts : tuple of (int, int)
        Number of genres and how many movies have it, ascending; sums to ``n_movies``.
    years : Summary or None
        Of the movies with a year; None if there is none.
    movies_by_year : tuple of (int, int)
        Year and its movies, ascending, only years that occur.
    genres : tuple of str
        All genres, the most frequent first, ties in alphabetical order.
    genre_counts : tuple of int
        Movies of each of ``genres``.
    genre_pairs : tuple of GenrePair
        All pairs that occur, the most frequent first, ties in alphabetical order.
    co_occurrence : ndarray of int64, shape (len(genres), len(genres))
        Movies that have both genres; the diagonal equals ``genre_counts``.
    """

    n_movies: int
    n_without_genres: int
    n_without_year: int
    genres_per_movie: Summary
    genres_per_movie_counts: tuple[tuple[int, int], ...]
    years: Summary | None
    movies_by_year: tuple[tuple[int, int], ...]
    genres: tuple[str, ...]
    genre_counts: tuple[int, ...]
    genre_pairs: tuple[GenrePair, ...]
    co_occurrence: NDArray[np.int64]


def movie_statistics(dataset: Dataset) -> MovieStatistics:
    """Count what is in the movies of a data set.

    Parameters
    ----------
    dataset : Dataset
        With at least one movie.

    Returns
    -------
    MovieStatistics
        All that the report and the plots show.
    """
    n_movies = len(dataset.movies)
    genres, membership = _genre_membership(dataset)
    per_movie = np.asarray(membership.sum(axis=1), dtype=np.int64).ravel()
    co_occurrence = np.asarray((membership.T @ membership).toarray(), dtype=np.int64)
    years = dataset.movies["year"].dropna().to_numpy(dtype=np.int64)
    return MovieStatistics(
        n_movies=n_movies,
        n_without_genres=int(np.count_nonzero(per_movie == 0)),
        n_without_year=n_movies - len(years),
        genres_per_movie=summarise(per_movie),
        genres_per_movie_counts=count_values(per_movie),
        years=summarise(years) if len(years) else None,
        movies_by_year=count_values(years),
        genres=genres,
        genre_counts=tuple(co_occurrence.diagonal().tolist()),
        genre_pairs=_genre_pairs(genres, co_occurrence, n_movies),
        co_occurrence=co_occurrence,
    )


def _genre_membership(dataset: Dataset) -> tuple[tuple[str, ...], sparse.csr_array]:
    """Return the genres, most frequent first, and a 0/1 matrix of movies by genres."""
    listed = [split_genres(names) for names in dataset.movies["genres"]]
    counts: dict[str, int] = {}
    for names in listed:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    genres = tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    column = {name: position for position, name in enumerate(genres)}
    columns = np.array([column[name] for names in listed for name in names], dtype=np.int64)
    row_ends = np.cumsum([0, *(len(names) for names in listed)], dtype=np.int64)
    ones = np.ones(len(columns), dtype=np.int64)
    return genres, sparse.csr_array((ones, columns, row_ends), shape=(len(listed), len(genres)))


def _genre_pairs(
    genres: tuple[str, ...], co_occurrence: NDArray[np.int64], n_movies: int
) -> tuple[GenrePair, ...]:
    """List every pair of genres that occurs, the most frequent first."""
    totals = co_occurrence.diagonal().tolist()
    rows, columns = np.nonzero(np.triu(co_occurrence, k=1))
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        count = int(co_occurrence[row, column])
        first, second = sorted((genres[row], genres[column]))
        pairs.append(GenrePair(first, second, count, count * n_movies / (totals[row] * totals[column])))
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.first, pair.second)))
