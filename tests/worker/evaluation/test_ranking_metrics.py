import math

import numpy as np
import pytest

from worker.evaluation.ranking_metrics import RankingMetrics, ndcg_at_k, recall_at_k


def test_ndcg_by_hand() -> None:
    hits = np.array([True, False, True, False])
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(hits, 3, 10) == pytest.approx((1 + 1 / math.log2(4)) / best)
    assert ndcg_at_k(hits, 3, 2) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg_at_k(np.array([True, True]), 2, 10) == 1.0
    assert ndcg_at_k(np.array([False]), 5, 10) == 0.0


def test_recall_by_hand() -> None:
    assert recall_at_k(np.array([True, False, True]), 4, 2) == 0.25
    assert recall_at_k(np.array([True, False, True]), 4, 20) == 0.5


def test_training_movies_are_not_ranked_and_users_without_relevant_ones_do_not_count() -> None:
    ranking = RankingMetrics(n_movies=4)
    ranking.add(np.array([9.0, 8.0, 7.0, 1.0]), np.array([0]), np.array([1]))
    ranking.add(np.array([9.0, 8.0, 7.0, 1.0]), np.array([0]), np.array([], dtype=np.intp))
    assert ranking.means() == {
        "ndcg_at_10": 1.0,
        "ndcg_at_100": 1.0,
        "recall_at_20": 1.0,
        "coverage": 0.75,
    }


def test_nobody_counts() -> None:
    assert RankingMetrics(n_movies=3).means() == dict.fromkeys(
        ("ndcg_at_10", "ndcg_at_100", "recall_at_20", "coverage"), 0.0
    )
