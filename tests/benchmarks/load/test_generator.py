"""Hits, with wrk and without."""

from itertools import islice

import pytest

from benchmarks.load.contract import Load, ordered
from benchmarks.load.generator import find_wrk, run_hits
from tests.benchmarks.load.conftest import CountingApp


@pytest.mark.skipif(find_wrk() is None, reason="wrk is not installed")
def test_wrk_is_read_right(app: CountingApp, port: int) -> None:
    paths = ["/a", "/b", "/missing", "/d"]
    outcome = run_hits(Load(port, paths, seconds=1, connections=4))
    assert set(app.paths) == set(paths)
    assert len(app.clients) <= outcome.connections + 1  # wrk looks first whether anybody is there
    good, bad = outcome.statuses["200"], outcome.statuses["400 and above"]
    assert good + bad == outcome.requests
    assert 0.2 < bad / outcome.requests < 0.3
    assert abs(len(app.paths) - outcome.requests) <= 2 * outcome.connections
    assert 0.9 < outcome.seconds < 2
    assert outcome.latency_ms["max"] < 1000 * outcome.seconds
    assert 0 < outcome.latency_ms["p50"] <= outcome.latency_ms["p99"] <= outcome.latency_ms["max"]
    assert outcome.bytes_received > good * 3000
    assert outcome.connection_errors == 0


@pytest.mark.skipif(find_wrk() is None, reason="wrk is not installed")
def test_wrk_draws_the_same_keys(app: CountingApp, port: int) -> None:
    load = Load(port, [f"/{n}" for n in range(100)], seconds=1, connections=1, order="zipf", seed=3)
    run_hits(load)
    drawn = ordered(load.paths, load)
    next(drawn)  # wrk makes one request to look at it, and does not send it
    assert app.paths == list(islice(drawn, len(app.paths)))


def test_hits_without_wrk_are_made_by_ourselves(
    app: CountingApp, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_wrk() is None
    outcome = run_hits(Load(port, ["/cached"], seconds=0.3, connections=2))
    assert outcome.cache == {"hit": outcome.requests}
