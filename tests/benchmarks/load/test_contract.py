"""What is drawn, and what is said of latencies."""

import collections
from itertools import islice

from benchmarks.load.contract import percentiles, zipf


def test_zipf_is_reproducible_and_skewed() -> None:
    first, again, other = (list(islice(zipf(1000, 1.0, seed), 20_000)) for seed in (1, 1, 2))
    assert first == again != other
    assert set(first) <= set(range(1000))
    counts = collections.Counter(first)
    # The sum of 1 / rank over 1000 ranks is 7.49: the first has 13.4 % of all draws, the tenth 1.3 %.
    assert 0.12 < counts[0] / 20_000 < 0.15
    assert 0.009 < counts[9] / 20_000 < 0.018
    flat = collections.Counter(islice(zipf(1000, 0.0, 1), 20_000))
    assert flat[0] < 60


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentiles(list(range(1, 201))) == {"p50": 100, "p90": 180, "p99": 198, "max": 200}
    assert percentiles([7.0]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0, "max": 7.0}
