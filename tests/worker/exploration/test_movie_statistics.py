import math

import numpy as np
import pytest

from shared.datasets.model import Dataset
from tests.worker.exploration.conftest import make_dataset
from worker.exploration.movie_statistics import GenrePair, movie_statistics


def test_genres_per_movie(tiny: Dataset) -> None:
    statistics = movie_statistics(tiny)
    summary = statistics.genres_per_movie  # of 2, 1, 3, 0, 1
    assert (summary.min, summary.max, summary.mean, summary.median) == (0, 3, 1.4, 1)
    # deviations .6, .4, 1.6, 1.4, .4: squares .36 + .16 + 2.56 + 1.96 + .16 = 5.2, over 5
    assert summary.std == pytest.approx(math.sqrt(1.04))
    assert statistics.genres_per_movie_counts == ((0, 1), (1, 2), (2, 1), (3, 1))
    assert statistics.n_movies == 5
    assert statistics.n_without_genres == 1


def test_years(tiny: Dataset) -> None:
    statistics = movie_statistics(tiny)
    assert statistics.years is not None
    assert (statistics.years.min, statistics.years.max) == (1990, 2005)
    assert (statistics.years.mean, statistics.years.median) == (1996.25, 1995)
    assert statistics.years.std == pytest.approx(math.sqrt(168.75 / 4))
    assert statistics.movies_by_year == ((1990, 2), (2000, 1), (2005, 1))
    assert statistics.n_without_year == 1


def test_genres_and_pairs(tiny: Dataset) -> None:
    statistics = movie_statistics(tiny)
    assert statistics.genres == ("Drama", "Comedy", "Romance")
    assert statistics.genre_counts == (4, 2, 1)
    assert statistics.genre_pairs == (
        GenrePair("Comedy", "Drama", 2, 2 * 5 / (2 * 4)),
        GenrePair("Comedy", "Romance", 1, 1 * 5 / (2 * 1)),
        GenrePair("Drama", "Romance", 1, 1 * 5 / (4 * 1)),
    )
    assert statistics.co_occurrence.tolist() == [[4, 2, 1], [2, 2, 1], [1, 1, 1]]


def test_a_genre_named_twice_counts_once() -> None:
    statistics = movie_statistics(make_dataset([(1, "A", None, "Drama|Drama")], [(1, 1, 3)]))
    assert statistics.genre_counts == (1,)
    assert statistics.genres_per_movie_counts == ((1, 1),)
    assert statistics.genre_pairs == ()


def test_distributions_sum_to_totals() -> None:
    random = np.random.default_rng(5)
    names = np.array(["A", "B", "C", "D", "E", "F"])
    movies = [
        (
            movie_id,
            f"M{movie_id}",
            int(random.integers(1950, 1960)) if random.random() < 0.8 else None,
            "|".join(random.permutation(names)[: random.integers(0, 6)]),
        )
        for movie_id in range(1, 301)
    ]
    statistics = movie_statistics(make_dataset(movies, [(1, 1, 3)]))
    per_movie = statistics.genres_per_movie_counts
    assert sum(count for _, count in per_movie) == 300
    assert sum(count for _, count in statistics.movies_by_year) == 300 - statistics.n_without_year
    assert sum(statistics.genre_counts) == sum(genres * count for genres, count in per_movie)
    # A movie with n genres has n (n - 1) / 2 pairs
    assert sum(pair.count for pair in statistics.genre_pairs) == sum(
        count * genres * (genres - 1) // 2 for genres, count in per_movie
    )


def test_no_year_and_no_genres() -> None:
    statistics = movie_statistics(make_dataset([(1, "A", None, "")], [(1, 1, 3)]))
    assert statistics.years is None
    assert statistics.movies_by_year == ()
    assert statistics.genres == ()
    assert statistics.co_occurrence.shape == (0, 0)
