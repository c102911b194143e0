"""How many movies each generated user rates, and which."""

import numpy as np
import numpy.typing as npt

_MIN_ACTIVITY = 20
# Of ML-20M: at least 20 ratings a user, 68 in the median, 144 on average.
_ACTIVITY_SIGMA = 1.38
_MOST_OF_CATALOGUE = 0.35
_TOP_SHARE = 0.5
_DECLINE = 0.42

_MAX_ROUNDS = 10
_MAX_CELLS = 4_000_000


def draw_activity(
    n_ratings: int, n_users: int, n_movies: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw how many movies each user rates; the sum is exactly ``n_ratings``."""
    average = n_ratings / n_users
    most = min(n_movies, max(int(_MOST_OF_CATALOGUE * n_movies), int(np.ceil(1.5 * average))))
    least = max(1, min(_MIN_ACTIVITY, n_ratings // n_users))
    extra = rng.lognormal(0, _ACTIVITY_SIGMA, n_users)

    def counts_at(scale: float) -> npt.NDArray[np.int64]:
        return np.minimum(most, least + np.minimum(scale * extra, most).astype(np.int64))

    low, high = 0.0, most / extra.min()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if counts_at(middle).sum() <= n_ratings else (low, middle)
    counts = counts_at(low)
    while (left := n_ratings - int(counts.sum())) > 0:
        room = rng.permutation(np.flatnonzero(counts < most))[:left]
        counts[room] += 1
    return counts


def log_popularity(ranks: npt.NDArray[np.int64], activity: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give each movie a log weight, so steep that about half of the users rate the best known one.

    The weight falls as ``exp(-c (rank / n) ** 0.42)``, which follows MovieLens from its first to its last
    movie; ``c`` is solved for.
    """
    n_movies = len(ranks)
    users = np.quantile(activity, (np.arange(25) + 0.5) / 25)
    depth = (np.arange(400) + 0.5) / 400
    n_at_depth = n_movies * depth ** (1 / _DECLINE - 1) / _DECLINE / 400

    def top_share(steepness: float) -> float:
        weights = np.exp(-steepness * depth)
        low, high = np.full(len(users), -20.0), np.full(len(users), 80.0)
        for _ in range(40):
            middle = (low + high) / 2
            expected = (1 - np.exp(-np.exp(middle)[:, None] * weights)) @ n_at_depth
            low, high = np.where(expected < users, middle, low), np.where(expected < users, high, middle)
        return float(np.mean(1 - np.exp(-np.exp(low))))

    low, high = 0.0, 60.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if top_share(middle) < _TOP_SHARE else (low, middle)
    weights: npt.NDArray[np.float64] = -low * (ranks / n_movies) ** _DECLINE
    return weights


def draw_choices(
    counts: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    log_weights: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw the movies of some users without replacement.

    Parameters
    ----------
    counts, groups : numpy.ndarray of int64, shape (n_users,)
        How many movies each user rates, and the taste group of each.
    log_weights : numpy.ndarray of float64, shape (n_groups, n_movies)
        How well known each movie is in each group.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    users, movies : numpy.ndarray of int64
        Row numbers, sorted by user, then movie.
    """
    n_groups, n_movies = log_weights.shape
    taken = np.empty(0, dtype=np.int64)
    done: list[npt.NDArray[np.int64]] = []
    missing = counts.copy()
    # Drawing with replacement and dropping what is drawn twice gives the same distribution as drawing
    # without; it is cheap until a user has most of the weight.
    rounds = _MAX_ROUNDS if len(counts) * n_movies > 8 * counts.sum() else 0
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max(axis=1, keepdims=True)), axis=1)
    for _ in range(rounds):
        drawn = [taken]
        for group in range(n_groups):
            members = np.flatnonzero((groups == group) & (missing > 0))
            users = np.repeat(members, missing[members])
            points = rng.random(len(users)) * cumulative[group, -1]
            movies = np.minimum(np.searchsorted(cumulative[group], points, side="right"), n_movies - 1)
            drawn.append(users * n_movies + movies)
        taken = _sorted_unique(np.concatenate(drawn))
        owners = taken // n_movies
        active = missing > 0
        missing[active] = (counts - np.bincount(owners, minlength=len(counts)))[active]
        complete = missing[owners] == 0
        done.append(taken[complete])
        taken = taken[~complete]
        if not len(taken):
            break
    done.append(taken)
    done.append(_draw_rest(missing, taken, groups, log_weights, rng))
    keys = np.sort(np.concatenate(done))
    return keys // n_movies, keys % n_movies


def _draw_rest(
    missing: npt.NDArray[np.int64],
    taken: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    log_weights: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Draw what is missing among the movies a user has not got: the smallest of weighted exponentials.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    n_movies = log_weights.shape[1]
    users = np.flatnonzero(missing)
    owners = taken // n_movies
    batch = max(1, _MAX_CELLS // n_movies)
    drawn: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(users), batch):
        some = users[start : start + batch]
        scores = log_weights[groups[some]] - np.log(rng.standard_exponential((len(some), n_movies)))
        for row, user in enumerate(some.tolist()):
            begin, end = np.searchsorted(owners, [user, user + 1])
            scores[row, taken[begin:end] % n_movies] = -np.inf
            best = np.argpartition(scores[row], n_movies - missing[user])[n_movies - missing[user] :]
            drawn.append(user * n_movies + best)
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)


def _sorted_unique(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # numpy.unique hashes integers of late, which is slower here than sorting.
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
