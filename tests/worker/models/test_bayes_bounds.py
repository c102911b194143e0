"""The best movies found through bounds are those of a plain computation, for catalogues of any shape."""

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.models.bayes.bounds import heads_and_tails, leading_directions, lower_bounds
from worker.models.candidates import Bounds

SHAPES = [(1, 1, 1), (5, 2, 3), (40, 12, 17), (3_000, 4, 5), (9_000, 12, 17)]


def alike(shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Samples of one chain: the same movies, each time a little different."""
    rng = np.random.default_rng(seed)
    n_movies, n_samples, d = shape
    movies = rng.standard_normal((n_movies, 1, d)) / np.arange(1, d + 1)
    return (movies + 0.1 * rng.standard_normal((n_movies, n_samples, d))).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_lie_between_their_bounds(shape: tuple[int, int, int]) -> None:
    means = alike(shape, 1)
    directions = leading_directions(means)
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-5)
    movies = heads_and_tails(means, directions)
    users = alike((20, *shape[1:]), 2).reshape(20, -1)
    exact = users.astype(np.float64) @ means.reshape(shape[0], -1).T.astype(np.float64)
    lower, widths = lower_bounds(users, movies, directions)
    assert (lower <= exact + 1e-4).all()
    assert (exact <= lower + widths[:, None] * movies[:, -1] + 1e-4).all()
    assert (lower > exact - 2 * widths[:, None] * movies[:, -1] - 1e-4).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 7, 150])
def test_none_of_the_best_is_missed(shape: tuple[int, int, int], k: int) -> None:
    means = alike(shape, 3)
    directions = leading_directions(means)
    movies = heads_and_tails(means, directions)
    users = alike((20, *shape[1:]), 4).reshape(20, -1)
    exact = users.astype(np.float64) @ means.reshape(shape[0], -1).T.astype(np.float64)
    lower, widths = lower_bounds(users, movies, directions)
    hidden = np.random.default_rng(5).random(lower.shape) < 0.3
    lower[hidden] = exact[hidden] = -np.inf
    bounds = Bounds(lower, widths, movies[:, -1])
    for row, scores in enumerate(exact):
        columns = bounds.candidates(row, k)
        assert (np.diff(columns) > 0).all()
        best = np.argsort(-scores, kind="stable")[:k]
        assert set(best[np.isfinite(scores[best])].tolist()) <= set(columns.tolist())
        assert np.isfinite(scores[columns]).all()


def test_few_others_are_scored_in_full() -> None:
    """Were the bounds useless, everything would still be right, and slow."""
    means = alike((9_000, 12, 17), 6)
    directions = leading_directions(means)
    movies = heads_and_tails(means, directions)
    users = alike((20, 12, 17), 7).reshape(20, -1)
    bounds = Bounds(*lower_bounds(users, movies, directions), movies[:, -1])
    found = [len(bounds.candidates(row, 150)) for row in range(20)]
    assert min(found) >= 150
    assert np.median(found) < 500


def test_scores_without_bounds_are_their_own() -> None:
    """Of equal ones all are candidates."""
    scores = np.repeat(np.array([[3.0, 1.0, 2.0]], dtype=np.float32), 4_000, axis=1)
    assert len(Bounds(scores).candidates(0, 10)) == 4_000
    assert Bounds(scores[:, ::4_000]).candidates(0, 2).tolist() == [0, 2]
    assert Bounds(np.full((1, 5), -np.inf)).candidates(0, 2).tolist() == []
