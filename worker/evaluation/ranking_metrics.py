"""Measures how well a ranking puts first what a user then liked.

Protocol: a user counts if at least one of their test ratings is :data:`RELEVANT_STARS` or more; these movies
are relevant. The whole catalogue is ranked by the model's score, without the movies of the user's training
ratings; equal scores go to the better-known movie. Figures are means over the users who count.

- NDCG@k: sum of ``1 / log2(place + 1)`` over relevant movies among the first k, divided by the largest
  possible sum (binary relevance; Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, p. 422).
- Recall@k: relevant movies among the first k, divided by the number of relevant movies.
- Coverage@10: movies that are among the first ten of at least one user, divided by the size of the catalogue.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.top_k import top_k

RELEVANT_STARS = 4.0
_DEPTH = 100
_DISCOUNTS = 1.0 / np.log2(np.arange(2, _DEPTH + 2))
_BEST_GAINS = np.concatenate([[0.0], np.cumsum(_DISCOUNTS)])


def ndcg_at_k(hits: NDArray[np.bool_], n_relevant: int, k: int) -> float:
    """Return the normalised discounted cumulative gain.

    Parameters
    ----------
    hits : ndarray of bool, shape (n,)
        Whether the movie at each place is relevant, best place first; missing places are no hits.
    n_relevant : int
        Relevant movies in all, at least one.
    k : int
        Places that count, at most 100.
    """
    gain = float(_DISCOUNTS[: len(hits[:k])] @ hits[:k])
    return gain / float(_BEST_GAINS[min(n_relevant, k)])


def recall_at_k(hits: NDArray[np.bool_], n_relevant: int, k: int) -> float:
    """Return the share of the relevant movies that are among the first k."""
    return float(np.count_nonzero(hits[:k])) / n_relevant


@dataclass
class RankingMetrics:
    """Collects the metrics of users and averages them.

    Attributes
    ----------
    n_movies : int
        Size of the catalogue.
    """

    n_movies: int
    _rows: list[tuple[float, float, float]] = field(default_factory=list)
    _shown: set[int] = field(default_factory=set)

    def add(self, scores: NDArray[np.floating], seen: NDArray[np.intp], relevant: NDArray[np.intp]) -> None:
        """Add one user.

        Parameters
        ----------
        scores : ndarray of float, shape (n_movies,)
            Overwritten at ``seen``.
        seen, relevant : ndarray of intp
            Columns of training movies and of relevant test movies; a user without relevant ones is left out.
        """
        if len(relevant) == 0:
            return
        scores[seen] = -np.inf
        ranked = top_k(scores, _DEPTH)
        hits = np.isin(ranked, relevant)
        n_relevant = len(relevant)
        self._rows.append(
            (
                ndcg_at_k(hits, n_relevant, 10),
                ndcg_at_k(hits, n_relevant, 100),
                recall_at_k(hits, n_relevant, 20),
            )
        )
        self._shown.update(ranked[:10].tolist())

    def means(self) -> dict[str, float]:
        """Return the mean of each metric, 0 if no user counted."""
        ndcg_10, ndcg_100, recall_20 = np.mean(self._rows, axis=0).tolist() if self._rows else (0.0, 0.0, 0.0)
        return {
            "ndcg_at_10": ndcg_10,
            "ndcg_at_100": ndcg_100,
            "recall_at_20": recall_20,
            "coverage": len(self._shown) / self.n_movies,
        }
