from hypothesis import example, given
from hypothesis import strategies as st

from shared.rankings.ranking import FORMAT, Ranking
from shared.rankings.store import CachedRanking

pairs = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)), max_size=200)
rankings = st.builds(
    lambda pairs, changes, outdated: Ranking(
        version="20261122T201530Z-svd-1f3c9a",
        fingerprint="0123456789abcdef",
        decimals=3,
        movie_ids=tuple(movie_id for movie_id, _ in pairs),
        scores=tuple(score for _, score in pairs),
        changes=changes,
        outdated=outdated,
    ),
    pairs,
    st.integers(0, 2**32 - 1),
    st.booleans(),
)


@given(rankings)
def test_what_is_packed_is_unpacked(ranking: Ranking) -> None:
    assert Ranking.from_bytes(ranking.to_bytes()) == ranking


def test_a_full_answer_is_small() -> None:
    ranking = Ranking("20261122T201530Z-svd-1f3c9a", "0123456789abcdef", 3, range(150), range(150))
    assert len(ranking.to_bytes()) < 1300


@given(st.binary(max_size=64).filter(lambda data: data[:1] != bytes([FORMAT])))
@example(b"")
@example(b"given-up")
@example(b"not a ranking at all")
@example(bytes(64))
def test_foreign_bytes_are_no_ranking(data: bytes) -> None:
    assert Ranking.from_bytes(data) is None


@given(st.binary(max_size=64))
@example(b"")
@example(bytes(12))
@example(b"\xff" * 12)
def test_foreign_bytes_after_our_first_one_are_no_ranking_or_the_one_that_they_are(data: bytes) -> None:
    data = bytes([FORMAT]) + data
    ranking = Ranking.from_bytes(data)
    if ranking is not None:
        assert ranking.to_bytes() == as_understood(data)


def as_understood(packed: bytes) -> bytes:
    """Return bytes with the third one, which says yes or no, as it is written: all but 0 say yes."""
    return packed[:2] + bytes([bool(packed[2])]) + packed[3:]


@given(rankings, st.data())
def test_a_changed_byte_is_noticed_or_read_as_it_is(ranking: Ranking, data: st.DataObject) -> None:
    packed = bytearray(ranking.to_bytes())
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    changed = Ranking.from_bytes(bytes(packed))
    if changed is not None:
        assert changed.to_bytes() == as_understood(bytes(packed))
        assert (changed == ranking) == (changed.to_bytes() == ranking.to_bytes())


@given(rankings, st.data())
def test_more_or_less_bytes_are_no_ranking(ranking: Ranking, data: st.DataObject) -> None:
    packed = ranking.to_bytes()
    assert Ranking.from_bytes(packed[: data.draw(st.integers(0, len(packed) - 1))]) is None
    assert Ranking.from_bytes(packed + data.draw(st.binary(min_size=1, max_size=9))) is None


def test_a_name_that_is_not_ascii_is_no_ranking() -> None:
    packed = Ranking("version", "data", 3, [1], [2]).to_bytes()
    assert Ranking.from_bytes(packed) is not None
    assert Ranking.from_bytes(packed.replace(b"version", b"versi\xf6n")) is None
    assert Ranking.from_bytes(packed.replace(b"data", b"d\xe4ta")) is None


def test_another_format_is_none() -> None:
    packed = Ranking("v", "f", 3, [1], [2]).to_bytes()
    assert Ranking.from_bytes(packed) is not None
    for other in (FORMAT - 1, FORMAT + 1):
        assert Ranking.from_bytes(bytes([other]) + packed[1:]) is None


def test_fresh_is_a_ranking_of_a_served_model_these_data_and_the_last_change() -> None:
    found = Ranking("v", "data", 3, [1], [2], changes=4)
    assert found.is_fresh({"u", "v"}, "data", 4)
    assert not found.is_fresh({"u"}, "data", 4)
    assert not found.is_fresh({"v"}, "other", 4)
    assert not found.is_fresh({"v"}, "data", 5)
    assert not found.is_fresh({"v"}, "data", 3)
    assert CachedRanking(found, 4).is_fresh({"v"}, "data")
    assert not CachedRanking(found, 5).is_fresh({"v"}, "data")
    assert not CachedRanking(None, 4).is_fresh({"v"}, "data")
