import math

import numpy as np
import pytest

from shared.datasets.model import Dataset
from tests.worker.exploration.conftest import make_dataset
from worker.exploration.rating_statistics import MovieScore, UserVotes, minimum_votes, rating_statistics
from worker.exploration.summaries import Bin


def test_sizes(tiny: Dataset) -> None:
    statistics = rating_statistics(tiny)
    assert (statistics.n_ratings, statistics.n_users) == (7, 4)
    assert (statistics.n_rated_movies, statistics.n_unrated_movies) == (4, 1)
    assert statistics.density == 7 / 16
    assert (statistics.first, statistics.last) == (1_000_000_000, 1_000_000_360)


def test_ratings(tiny: Dataset) -> None:
    statistics = rating_statistics(tiny)
    summary = statistics.ratings  # of 3, 3, 4, 4, 4.5, 5, 5
    assert (summary.min, summary.max, summary.median) == (3, 5, 4)
    assert summary.mean == pytest.approx(28.5 / 7)
    # mean of squares less square of mean: (9 + 9 + 16 + 16 + 20.25 + 25 + 25) / 7 - (28.5 / 7)^2
    assert summary.std == pytest.approx(math.sqrt(120.25 / 7 - (28.5 / 7) ** 2))
    assert statistics.rating_counts == (Bin("3.0", 2), Bin("4.0", 2), Bin("4.5", 1), Bin("5.0", 2))


def test_votes_per_user(tiny: Dataset) -> None:
    statistics = rating_statistics(tiny)
    summary = statistics.votes_per_user  # of 3, 2, 1, 1
    assert (summary.min, summary.max, summary.mean, summary.median) == (1, 3, 1.75, 1.5)
    assert summary.std == pytest.approx(math.sqrt(0.6875))
    assert statistics.user_vote_counts == (Bin("1", 2), Bin("2", 1), Bin("3–5", 1))
    users = UserVotes(1, 3), UserVotes(2, 2), UserVotes(3, 1), UserVotes(7, 1)
    assert statistics.most_active == users
    assert statistics.least_active == (users[2], users[3], users[1], users[0])  # ties by id, not reversed


def test_votes_per_movie(tiny: Dataset) -> None:
    statistics = rating_statistics(tiny)
    alpha, beta = MovieScore(1, "Alpha (1990)", 3, 4.5), MovieScore(2, "Beta (1990)", 2, 3.0)
    gamma, delta = MovieScore(3, "Gamma (2000)", 1, 4.0), MovieScore(4, "Delta", 1, 5.0)
    assert statistics.movie_vote_counts == (Bin("1", 2), Bin("2", 1), Bin("3–5", 1))
    assert statistics.most_voted == (alpha, beta, gamma, delta)
    assert statistics.least_voted == (gamma, delta, beta, alpha)
    assert statistics.best_naive == (delta, alpha, gamma, beta)
    assert statistics.worst_naive == (beta, gamma, alpha, delta)


def test_minimum_of_votes_keeps_lucky_movies_out() -> None:
    # 22 movies with 20 votes of 3 and 4, and one with a single 5
    movies = [(movie_id, f"M{movie_id}", None, "") for movie_id in range(1, 24)]
    ratings = [(user, movie, 3.0 + (user + movie) % 2) for user in range(1, 21) for movie in range(1, 23)] + [
        (21, 23, 5.0)
    ]
    statistics = rating_statistics(make_dataset(movies, ratings))
    assert statistics.min_votes == 20
    assert statistics.n_eligible == 22
    assert statistics.best_naive[0].movie_id == 23
    assert [movie.movie_id for movie in statistics.best] == list(range(1, 11))  # all 3.5: by id
    assert [movie.movie_id for movie in statistics.worst] == list(range(1, 11))


@pytest.mark.parametrize(
    ("votes", "n_users", "expected"),
    [
        ([30] * 25, 671, 20),
        ([30] * 19, 671, 20),
        ([1000] * 25, 138_493, 139),  # one for each thousand, rounded up
        ([100] * 5 + list(range(19, 0, -1)), 10, 5),  # the 20th most voted
        ([7, 3, 2], 10, 2),
        ([1], 1, 1),
    ],
)
def test_minimum_votes(votes: list[int], n_users: int, expected: int) -> None:
    assert minimum_votes(np.array(votes), n_users) == expected


def test_a_single_rating() -> None:
    statistics = rating_statistics(make_dataset([(9, "A", None, "")], [(4, 9, 2.5)]))
    only = (MovieScore(9, "A", 1, 2.5),)
    assert statistics.best == statistics.worst == statistics.best_naive == statistics.most_voted == only
    assert statistics.ratings.std == 0
    assert statistics.density == 1


def test_distributions_sum_to_totals() -> None:
    random = np.random.default_rng(7)
    pairs = {(int(user), int(movie)) for user, movie in (random.pareto(1, (4000, 2)) * 20).astype(int) + 1}
    movie_ids = sorted({movie for _, movie in pairs} | {2**31 - 1})
    ratings = [(user, movie, float(random.integers(1, 11)) / 2) for user, movie in sorted(pairs)]
    statistics = rating_statistics(make_dataset([(i, f"M{i}", None, "") for i in movie_ids], ratings))
    assert sum(row.count for row in statistics.rating_counts) == statistics.n_ratings == len(ratings)
    assert sum(row.count for row in statistics.user_vote_counts) == statistics.n_users
    assert sum(row.count for row in statistics.movie_vote_counts) == statistics.n_rated_movies
    assert statistics.user_votes.sum() == statistics.movie_votes.sum() == len(ratings)
    assert statistics.n_unrated_movies == 1
