"""Answers in the gateway's memory: what is kept, for how long, and what is dropped at once."""

import re
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rankings.answer_cache import Answer, AnswerCache, accepts_gzip

MINUTE = timedelta(minutes=1)


def answer(size: int = 10, member: str = "") -> Answer:
    return Answer(b"x" * size, "v", "no-cache", member)


def test_what_is_kept_is_found_and_what_is_forgotten_is_not() -> None:
    cache = AnswerCache(10_000_000, MINUTE)
    first, second = answer(), answer()
    cache.put(b"/1", 1, cache.token(1), first)
    cache.put(b"/2", 2, cache.token(2), second)
    assert cache.get(b"/1") is first
    cache.forget([b"/1"], 1)
    assert cache.get(b"/1") is None
    assert cache.get(b"/2") is second
    cache.clear()
    assert cache.get(b"/2") is None
    assert cache.size == len(cache) == 0


@pytest.mark.parametrize("change", ["forget", "clear"])
@pytest.mark.parametrize("n", [1, 2])
def test_what_was_read_before_changes_is_not_kept_after_them(change: str, n: int) -> None:
    cache = AnswerCache(10_000_000, MINUTE)
    tokens = []
    for _ in range(n):
        tokens.append(cache.token(1))
        if change == "forget":
            cache.forget([b"/1"], 1)
        else:
            cache.clear()
    for token in tokens:
        cache.put(b"/1", 1, token, answer())
        assert cache.get(b"/1") is None
    cache.put(b"/1", 1, cache.token(1), answer())
    assert cache.get(b"/1") is not None


def test_a_change_of_one_user_leaves_the_others() -> None:
    cache = AnswerCache(10_000_000, MINUTE)
    token = cache.token(1)
    cache.forget([b"/2"], 2)
    cache.put(b"/1", 1, token, answer())
    assert cache.get(b"/1") is not None


def test_the_time_to_live_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cache = AnswerCache(10_000_000, MINUTE)
    cache.put(b"/1", 1, cache.token(1), answer())
    now[0] += 60
    assert cache.get(b"/1") is not None
    now[0] += 0.001
    assert cache.get(b"/1") is None
    assert cache.size == len(cache) == 0


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3000), st.booleans()), max_size=80))
def test_the_size_is_that_of_what_is_kept_and_never_above_the_bound(
    steps: list[tuple[int, int, bool]],
) -> None:
    cache = AnswerCache(40_000, MINUTE)
    for number, size, drop in steps:
        path = b"/%d" % number
        if drop:
            cache.forget([path], number)
        else:
            cache.put(path, number, cache.token(number), answer(size))
        assert cache.size <= 40_000
        assert cache.size == sum(2 * len(kept.body) + 600 for kept in cache._answers.values())


def test_the_answer_that_was_asked_for_longest_ago_goes_first() -> None:
    cache = AnswerCache(16 * 2600, MINUTE)
    for number in range(16):
        cache.put(b"/%d" % number, number, cache.token(number), answer(1000))
    assert cache.get(b"/0") is not None
    cache.put(b"/16", 16, cache.token(16), answer(1000))
    assert cache.get(b"/0") is not None
    assert cache.get(b"/1") is None


def test_a_giant_is_not_kept_and_nothing_is_when_it_is_off() -> None:
    cache = AnswerCache(160_008, MINUTE)
    cache.put(b"/1", 1, cache.token(1), answer(10_001))
    assert cache.get(b"/1") is None
    cache.put(b"/1", 1, cache.token(1), answer(10_000))
    assert cache.get(b"/1") is not None
    off = AnswerCache(0, MINUTE)
    off.put(b"/1", 1, off.token(1), answer(0))
    assert off.get(b"/1") is None


def test_hits_are_counted_by_what_was_asked() -> None:
    cache = AnswerCache(1_000_000, MINUTE)
    cache.put(b"/1", 1, cache.token(1), answer(member="suggested:1"))
    cache.put(b"/2", 2, cache.token(2), answer())
    for path in (b"/1", b"/1", b"/2", b"/3"):
        cache.get(path)
    assert cache.take_hits() == {"suggested:1": 2}
    assert cache.take_hits() == {}
    assert cache.answered == 3
    cache.get(b"/1")
    assert cache.take_hits() == {"suggested:1": 1}


def test_the_head_is_that_of_the_answer() -> None:
    plain, versioned = Answer(b"{}", "", "no-cache"), Answer(b"{}", "v-1", "public, max-age=60")
    common = b"vary: Accept-Encoding, Origin\r\nx-cache: %b\r\ncache-control: %b\r\n"
    assert plain.head == common % (b"hit", b"no-cache")
    assert versioned.head == common % (b"hit", b"public, max-age=60") + b"x-model-version: v-1\r\n"
    assert versioned.missed_head == common % (b"miss", b"public, max-age=60") + b"x-model-version: v-1\r\n"


def test_tags_differ_by_body_and_by_encoding() -> None:
    small, other = Answer(b"a", "v", ""), Answer(b"b", "v", "")
    tags = {one.tag(compressed=compressed) for one in (small, other) for compressed in (False, True)}
    assert len(tags) == 4
    assert Answer(b"a", "another", "").tag(compressed=False) == small.tag(compressed=False)
    assert re.fullmatch(rb'"[0-9a-f]{32}"', small.tag(compressed=False))
    assert small.tag(compressed=True) == small.tag(compressed=False)[:-1] + b'-gzip"'
    for compressed in (False, True):
        tag = small.tag(compressed=compressed)
        for known in (tag, b"W/" + tag, b'"nothing", W/' + tag, b'"nothing",' + tag + b' , "more"'):
            assert small.matches(known)
            assert not other.matches(known)
    assert small.matches(b"*")
    assert not small.matches(other.tag(compressed=False))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        (b"*", True),
        (b"identity", False),
        (b"", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0, *", False),
        (b"*, gzip;q=0", False),
        (b"*;q=0", False),
        (b"gzip;q=0.5, *;q=0", True),
        (b"identity;q=0, *;q=0.1", True),
        (b"x-gzip", True),
        (b"X-GZIP;Q=0.5", True),
        (b"x-gzip;q=0, *", False),
        (b"gzip\t;\tq=0.001\t", True),
        (b"gzip;q=1.000", True),
        (b"gzip;q=0.2, identity", False),
        (b"gzip, identity;q=0.2", True),
        (b"br, deflate", False),
        (b"gzip;q=2", False),
        (b"gzip;q=-1", False),
        (b"gzip;q", False),
        (b"gzip;level=9", False),
        (b", ,gzip,,", True),
        (b"g zip", False),
        (b"gzip, gzip;q=0", False),
        (b"gzip;q=0, x-gzip", False),
        (b"gzip\xff", False),
        (b"x" * 1000 + b", gzip", True),
        (b"gzip;q=0," + b"x" * 1000 + b", *", False),
        (b"gzip; q=0.000", False),
        (b"xgzip", False),
        (b"br", False),
    ],
)
def test_who_accepts_gzip(header: bytes, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
