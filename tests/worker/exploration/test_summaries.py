import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.exploration.summaries import MAX_DISTINCT_VALUES, Bin, count_ratings, count_votes


def test_vote_bins_grow_as_1_2_5() -> None:
    assert count_votes(np.array([1, 2, 5, 6, 10, 11, 20, 21, 1000, 1001])) == (
        Bin("1", 1),
        Bin("2", 1),
        Bin("3–5", 1),
        Bin("6–10", 2),
        Bin("11–20", 2),
        Bin("21–50", 1),
        Bin("51–100", 0),
        Bin("101–200", 0),
        Bin("201–500", 0),
        Bin("501–1,000", 1),
        Bin("1,001–2,000", 1),
    )


@given(st.lists(st.integers(1, 10**7), min_size=1))
def test_every_vote_is_in_its_bin(votes: list[int]) -> None:
    bins = count_votes(np.array(votes))
    assert bins[0].count > 0
    assert bins[-1].count > 0
    for row in bins:
        ends = [int(end.replace(",", "")) for end in row.label.split("–")]
        assert row.count == sum(ends[0] <= vote <= ends[-1] for vote in votes)


@pytest.mark.parametrize(
    ("ratings", "labels"),
    [
        ([1, 2, 5], ["1", "2", "5"]),
        ([0.5, 1, 5], ["0.5", "1.0", "5.0"]),
        ([0.25, 1], ["0.25", "1"]),
    ],
)
def test_rating_labels(ratings: list[float], labels: list[str]) -> None:
    assert [row.label for row in count_ratings(np.array(ratings, dtype=np.float32))] == labels


def test_many_rating_values_are_binned() -> None:
    rows = count_ratings(np.linspace(0, 100, 1001, dtype=np.float32))
    assert len(rows) == MAX_DISTINCT_VALUES
    assert rows[0] == Bin("0–5", 50)
    assert rows[-1] == Bin("95–100", 51)
    assert sum(row.count for row in rows) == 1001
