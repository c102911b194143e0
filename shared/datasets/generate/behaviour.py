"""What generated users do: ratings around a known truth, in sessions over years, and tags."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.datasets.generate.choice import draw_choices
from shared.datasets.generate.movies import N_FACTORS, GeneratedMovies
from shared.datasets.generate.words import ODD_TAGS, TAGS
from shared.datasets.options import MAX_RATING, MIN_RATING

_N_GROUPS = 12
_GROUP_WEIGHT = 0.4
# How much taste changes which movies a group rates, against how well known they are.
_TASTE_IN_CHOICE = 1.0

# Standard deviations that give MovieLens' mean of 3.5 and deviation of 1.05 after rounding and clipping.
_MEAN = 3.59
_SIGNAL = 0.78
_INTERACTION = 0.55
_USER_BIAS = 0.42
_NOISE, _NOISE_SPREAD = 0.77, 0.28

_DAY = 86_400
_OPENED, _CLOSED = 822_873_600, 1_427_760_000
"""1996-01-29 and 2015-03-31, the days between which ML-20M was collected."""
_SESSION_LENGTH, _SECONDS_BETWEEN, _DAYS_BETWEEN = 40, 25, 45

_TAGGERS, _TAGGED, _ODD_TAG = 0.06, 0.35, 0.02


@dataclass(frozen=True)
class Users:
    """The users of a generated data set; every array has one row a user.

    Attributes
    ----------
    counts : numpy.ndarray of int64
        How many movies each rates.
    groups : numpy.ndarray of int64
        Taste group of each.
    factors : numpy.ndarray of float32, shape (n_users, N_FACTORS)
        Latent factors of unit variance.
    biases, noise : numpy.ndarray of float32
        How generous, and how erratic, each is.
    """

    counts: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    factors: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32]

    def rows(self, selection: slice | npt.NDArray[np.int64]) -> "Users":
        """Select some users."""
        return Users(
            self.counts[selection],
            self.groups[selection],
            self.factors[selection],
            self.biases[selection],
            self.noise[selection],
        )


@dataclass(frozen=True)
class Ratings:
    """Ratings of some users, sorted by user, then movie; every array has one row a rating.

    Attributes
    ----------
    users, movies : numpy.ndarray of int64
        Row numbers.
    halves : numpy.ndarray of int32
        The rating in half stars, 1 to 10.
    truth : numpy.ndarray of float32
        The mean that the rating was drawn around, within the scale.
    timestamps : numpy.ndarray of int64
        Seconds since 1970.
    """

    users: npt.NDArray[np.int64]
    movies: npt.NDArray[np.int64]
    halves: npt.NDArray[np.int32]
    truth: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Taste:
    """What links users and movies.

    Attributes
    ----------
    log_weights : numpy.ndarray of float64, shape (n_groups, n_movies)
        How well known each movie is in each group.
    offset, scale : float
        Bring the raw signal to the mean and deviation of MovieLens.
    """

    log_weights: npt.NDArray[np.float64]
    offset: float = 0.0
    scale: float = 1.0


def draw_users(
    counts: npt.NDArray[np.int64],
    catalogue: GeneratedMovies,
    log_popularity: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Users, Taste]:
    """Draw the users, and the taste groups that they belong to."""
    n_users = len(counts)
    centres = rng.standard_normal((_N_GROUPS, N_FACTORS))
    groups = rng.integers(0, _N_GROUPS, n_users)
    own = rng.standard_normal((n_users, N_FACTORS))
    users = Users(
        counts=counts,
        groups=groups,
        factors=(np.sqrt(_GROUP_WEIGHT) * centres[groups] + np.sqrt(1 - _GROUP_WEIGHT) * own).astype(
            np.float32
        ),
        biases=(_USER_BIAS * rng.standard_normal(n_users)).astype(np.float32),
        noise=(_NOISE * np.exp(_NOISE_SPREAD * rng.standard_normal(n_users))).astype(np.float32),
    )
    liking = centres @ catalogue.factors.T / np.sqrt(N_FACTORS)
    return users, Taste(log_popularity + _TASTE_IN_CHOICE * liking)


def calibrate(taste: Taste, users: Users, catalogue: GeneratedMovies, rng: np.random.Generator) -> Taste:
    """Find the offset and scale on a sample of users: who rates what shifts both."""
    order = rng.permutation(len(users.counts))
    enough = np.searchsorted(np.cumsum(users.counts[order]), 300_000) + 1
    sample = users.rows(np.sort(order[:enough]))
    user_rows, movie_rows = draw_choices(sample.counts, sample.groups, taste.log_weights, rng)
    signal = _signal(sample, catalogue, user_rows, movie_rows)
    scale = _SIGNAL / max(float(signal.std()), 0.1)
    return Taste(taste.log_weights, _MEAN - scale * float(signal.mean()), scale)


def draw_ratings(users: Users, taste: Taste, catalogue: GeneratedMovies, rng: np.random.Generator) -> Ratings:
    """Draw all ratings of some users."""
    user_rows, movie_rows = draw_choices(users.counts, users.groups, taste.log_weights, rng)
    timestamps = _draw_times(users.counts, user_rows, rng)
    decades = ((timestamps - (_OPENED + _CLOSED) / 2) / (3652.5 * _DAY)).astype(np.float32)
    signal = _signal(users, catalogue, user_rows, movie_rows) + catalogue.drifts[movie_rows] * decades
    mean = np.float32(taste.offset) + np.float32(taste.scale) * signal
    noise = users.noise[user_rows] * rng.standard_normal(len(mean), dtype=np.float32)
    halves = np.clip(np.round(2 * (mean + noise)), 2 * MIN_RATING, 2 * MAX_RATING).astype(np.int32)
    return Ratings(user_rows, movie_rows, halves, np.clip(mean, MIN_RATING, MAX_RATING), timestamps)


def draw_tags(
    ratings: Ratings, n_users: int, catalogue: GeneratedMovies, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], list[str], npt.NDArray[np.int64]]:
    """Draw tags for some of the ratings.

    Returns
    -------
    rows : numpy.ndarray of int64
        Which rating each tag goes with, ascending.
    tags : list of str
        What it says.
    timestamps : numpy.ndarray of int64
        Shortly after the rating.
    """
    tagger = rng.random(n_users) < _TAGGERS
    rows = np.flatnonzero(tagger[ratings.users] & (rng.random(len(ratings.users)) < _TAGGED))
    fit = 1.6 * catalogue.factors[ratings.movies[rows]] @ catalogue.tag_affinities.T
    chosen = np.argmax(fit + rng.gumbel(size=fit.shape), axis=1)
    odd = np.where(rng.random(len(rows)) < _ODD_TAG, rng.integers(0, len(ODD_TAGS), len(rows)), -1)
    tags = [ODD_TAGS[o] if o >= 0 else TAGS[t] for t, o in zip(chosen.tolist(), odd.tolist(), strict=True)]
    return rows, tags, ratings.timestamps[rows] + rng.integers(5, 600, len(rows))


def _signal(
    users: Users,
    catalogue: GeneratedMovies,
    user_rows: npt.NDArray[np.int64],
    movie_rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    signal: npt.NDArray[np.float32] = np.einsum(
        "ij,ij->i", users.factors[user_rows], catalogue.factors[movie_rows]
    )
    signal *= np.float32(_INTERACTION / np.sqrt(N_FACTORS))
    signal += users.biases[user_rows]
    signal += catalogue.biases[movie_rows]
    return signal


def _draw_times(
    counts: npt.NDArray[np.int64], user_rows: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw when each rating was given: a user joins, and rates in sessions some weeks apart."""
    n_ratings = len(user_rows)
    joined = rng.integers(_OPENED, _CLOSED - 60 * _DAY, len(counts))
    starts = np.cumsum(counts) - counts
    seconds = 1 + rng.exponential(_SECONDS_BETWEEN, n_ratings)
    pauses = np.where(
        rng.random(n_ratings) < 1 / _SESSION_LENGTH, rng.exponential(_DAYS_BETWEEN * _DAY, n_ratings), 0.0
    )
    seconds[starts] = pauses[starts] = 0
    # Pauses shrink for those who would otherwise go on rating past the last day.
    left = _CLOSED - joined - np.add.reduceat(seconds, starts)
    paused = np.add.reduceat(pauses, starts)
    shrink = np.clip(left / np.maximum(paused, 1), 0, 1)
    passed = np.cumsum(seconds + pauses * shrink[user_rows])
    in_order = joined[user_rows] + (passed - passed[starts][user_rows]).astype(np.int64)
    # In which order a user rates the movies is up to chance.
    order = np.argsort((user_rows << 32) + rng.integers(0, 1 << 32, n_ratings))
    timestamps = np.empty(n_ratings, dtype=np.int64)
    timestamps[order] = np.minimum(in_order, _CLOSED)
    return timestamps
