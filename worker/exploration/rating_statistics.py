"""Counts what is in the ratings of a data set: votes per user and movie, scores, the best and the worst."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.datasets.model import Dataset
from worker.exploration.summaries import Bin, Summary, count_ratings, count_votes, summarise

N_MOST_VOTES = 5
"""Users and movies listed with the most and with the fewest votes."""

N_BEST_NAIVE = 5
"""Movies listed as best and as worst whatever their number of votes."""

N_BEST = 10
"""Movies listed as best and as worst among those with enough votes."""

MIN_VOTES = 20
"""Votes from which a mean is worth ranking: its standard error is then at most 0.22 of the deviation."""

MIN_VOTES_USERS = 1000
"""And one vote for each so many users, since the luckiest of many movies needs more votes to be believed."""


@dataclass(frozen=True)
class UserVotes:
    """A user and how many movies the user rated."""

    user_id: int
    votes: int


@dataclass(frozen=True)
class MovieScore:
    """A movie, how many users rated it, and the mean of their ratings."""

    movie_id: int
    title: str
    votes: int
    mean: float


@dataclass(frozen=True, eq=False)
class RatingStatistics:
    """Statistics of the ratings of a data set.

    Ties are broken by ascending id in every list.

    Attributes
    ----------
    n_ratings, n_users, n_rated_movies, n_unrated_movies : int
        Sizes; a movie without any rating is unrated.
    density : float
        Share of all pairs of a user and a rated movie that have a rating, 0 to 1.
    first, last : int
        Times of the earliest and the latest rating, seconds since 1970, UTC.
    ratings, votes_per_user, votes_per_movie : Summary
        Of all ratings, all users, all rated movies.
    rating_counts, user_vote_counts, movie_vote_counts : tuple of Bin
        Their distributions; they sum to ``n_ratings``, ``n_users`` and ``n_rated_movies``.
    most_active, least_active : tuple of UserVotes
        Users with the most and with the fewest votes.
    most_voted, least_voted : tuple of MovieScore
        Rated movies with the most and with the fewest votes.
    best_naive, worst_naive : tuple of MovieScore
        Rated movies by mean, whatever their number of votes.
    min_votes, n_eligible : int
        Votes that a movie needs in the lists below (see :func:`minimum_votes`), and how many have them.
    best, worst : tuple of MovieScore
        Movies by mean among those with ``min_votes``.
    user_votes, movie_votes : ndarray of int64, shapes (n_users,) and (n_rated_movies,)
        Votes of each user and each rated movie, in ascending order of the id.
    movie_means : ndarray of float64, shape (n_rated_movies,)
        Mean rating of each rated movie.
    """

    n_ratings: int
    n_users: int
    n_rated_movies: int
    n_unrated_movies: int
    density: float
    first: int
    last: int
    ratings: Summary
    rating_counts: tuple[Bin, ...]
    votes_per_user: Summary
    user_vote_counts: tuple[Bin, ...]
    most_active: tuple[UserVotes, ...]
    least_active: tuple[UserVotes, ...]
    votes_per_movie: Summary
    movie_vote_counts: tuple[Bin, ...]
    most_voted: tuple[MovieScore, ...]
    least_voted: tuple[MovieScore, ...]
    best_naive: tuple[MovieScore, ...]
    worst_naive: tuple[MovieScore, ...]
    min_votes: int
    n_eligible: int
    best: tuple[MovieScore, ...]
    worst: tuple[MovieScore, ...]
    user_votes: NDArray[np.int64]
    movie_votes: NDArray[np.int64]
    movie_means: NDArray[np.float64]


def minimum_votes(movie_votes: NDArray[np.int64], n_users: int) -> int:
    """Choose how many votes a movie needs before its mean is ranked.

    :data:`MIN_VOTES`, or one for each :data:`MIN_VOTES_USERS` users if that is more (139 in ML-20M). Where
    the best and the worst would then overlap or be missing, in a small data set, it is what the 20th most
    voted movie has, so that there is always something to rank.

    Parameters
    ----------
    movie_votes : ndarray of int64, shape (n_rated_movies,)
        Votes of each rated movie.
    n_users : int
        Users in the data set.

    Returns
    -------
    int
        At least 1; some movie has as many.
    """
    wanted = max(MIN_VOTES, -(-n_users // MIN_VOTES_USERS))
    descending = np.sort(movie_votes)[::-1]
    reached = int(descending[min(2 * N_BEST, len(descending)) - 1])
    return min(wanted, reached)


def rating_statistics(dataset: Dataset) -> RatingStatistics:
    """Count what is in the ratings of a data set.

    Parameters
    ----------
    dataset : Dataset
        With at least one rating, and with every rated movie among its movies.

    Returns
    -------
    RatingStatistics
        All that the report and the plots show.
    """
    ratings = dataset.ratings["rating"].to_numpy(dtype=np.float32)
    timestamps = dataset.ratings["timestamp"].to_numpy(dtype=np.int64)
    user_ids, user_votes = np.unique(dataset.ratings["user_id"].to_numpy(), return_counts=True)
    all_movie_ids = dataset.movies["movie_id"].to_numpy()
    rows = np.searchsorted(all_movie_ids, dataset.ratings["movie_id"].to_numpy())
    all_votes = np.bincount(rows, minlength=len(all_movie_ids))
    all_sums = np.bincount(rows, weights=ratings, minlength=len(all_movie_ids))

    rated = np.flatnonzero(all_votes)
    votes, means = all_votes[rated], all_sums[rated] / all_votes[rated]
    titles = dataset.movies["title"]

    def movies(order: NDArray[np.int64]) -> tuple[MovieScore, ...]:
        return tuple(
            MovieScore(
                int(all_movie_ids[rated[i]]), str(titles.iloc[rated[i]]), int(votes[i]), float(means[i])
            )
            for i in order
        )

    def users(order: NDArray[np.int64]) -> tuple[UserVotes, ...]:
        return tuple(UserVotes(int(user_ids[i]), int(user_votes[i])) for i in order)

    min_votes = minimum_votes(votes, len(user_ids))
    eligible = np.flatnonzero(votes >= min_votes)
    return RatingStatistics(
        n_ratings=len(ratings),
        n_users=len(user_ids),
        n_rated_movies=len(rated),
        n_unrated_movies=len(all_movie_ids) - len(rated),
        density=len(ratings) / (len(user_ids) * len(rated)),
        first=int(timestamps.min()),
        last=int(timestamps.max()),
        ratings=summarise(ratings),
        rating_counts=count_ratings(ratings),
        votes_per_user=summarise(user_votes),
        user_vote_counts=count_votes(user_votes),
        most_active=users(_lowest(-user_votes, N_MOST_VOTES)),
        least_active=users(_lowest(user_votes, N_MOST_VOTES)),
        votes_per_movie=summarise(votes),
        movie_vote_counts=count_votes(votes),
        most_voted=movies(_lowest(-votes, N_MOST_VOTES)),
        least_voted=movies(_lowest(votes, N_MOST_VOTES)),
        best_naive=movies(_lowest(-means, N_BEST_NAIVE)),
        worst_naive=movies(_lowest(means, N_BEST_NAIVE)),
        min_votes=min_votes,
        n_eligible=len(eligible),
        best=movies(eligible[_lowest(-means[eligible], N_BEST)]),
        worst=movies(eligible[_lowest(means[eligible], N_BEST)]),
        user_votes=user_votes,
        movie_votes=votes,
        movie_means=means,
    )


def _lowest(values: NDArray[np.int64] | NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the positions of the n lowest values; ids ascend with positions, so ties go to the lower id."""
    return np.argsort(values, kind="stable")[:n]
