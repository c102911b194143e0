import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ranking import Ranking

rankings = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)), max_size=200).map(
    lambda pairs: Ranking(
        version="20261122T201530Z-svd-1f3c9a",
        fingerprint="0123456789abcdef",
        decimals=3,
        movie_ids=tuple(movie_id for movie_id, _ in pairs),
        scores=tuple(score for _, score in pairs),
    )
)


@given(rankings)
def test_what_is_packed_is_unpacked(ranking: Ranking) -> None:
    assert Ranking.from_bytes(ranking.to_bytes()) == ranking


def test_a_full_answer_is_small() -> None:
    ranking = Ranking("20261122T201530Z-svd-1f3c9a", "0123456789abcdef", 3, range(150), range(150))
    assert len(ranking.to_bytes()) < 1300


@given(st.binary(max_size=64))
def test_foreign_bytes_are_no_ranking(data: bytes) -> None:
    result = Ranking.from_bytes(data)
    assert result is None or isinstance(result, Ranking)


@pytest.mark.parametrize("cut", [0, 1, 8, 20, -1])
def test_a_cut_ranking_is_none(cut: int) -> None:
    packed = Ranking("20261122T201530Z-svd-1f3c9a", "0123456789abcdef", 3, [1, 2], [3, 4]).to_bytes()
    assert Ranking.from_bytes(packed[:cut]) is None


def test_another_format_is_none() -> None:
    packed = Ranking("v", "f", 3, [1], [2]).to_bytes()
    assert Ranking.from_bytes(b"\x09" + packed[1:]) is None
