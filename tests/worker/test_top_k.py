import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.top_k import top_k


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.0, float("-inf")]), max_size=50), st.integers(1, 60))
def test_it_is_the_beginning_of_a_full_stable_sort(scores: list[float], k: int) -> None:
    expected = sorted(
        (column for column, score in enumerate(scores) if score > float("-inf")),
        key=lambda column: (-scores[column], column),
    )[:k]
    assert top_k(np.array(scores), k).tolist() == expected
