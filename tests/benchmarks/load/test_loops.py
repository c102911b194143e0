"""The load generator, as a process, against real servers."""

import asyncio
import collections
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Any

import pytest

from benchmarks.load.contract import Load, ordered
from benchmarks.load.generator import run_load
from shared.errors import ServiceError
from shared.processes.children import free_port
from tests.benchmarks.load.conftest import CountingApp


@contextmanager
def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> Iterator[int]:
    """Serve connections as no well-behaved server would."""
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    ports: list[int] = []

    @asynccontextmanager
    async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        try:
            yield
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            await handle(reader, writer)

    async def serve() -> None:
        server = await asyncio.start_server(guarded, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_closed_loop_asks_each_path_once_over_connections_that_stay_open(app: CountingApp, port: int) -> None:
    paths = [f"/{number}" for number in range(500)]
    outcome = run_load(Load(port, paths, seconds=20, connections=7, order="once"))
    assert sorted(app.paths) == sorted(paths)
    assert outcome.requests == 500
    assert outcome.statuses == {"200": 500}
    assert outcome.seconds < 20  # it ends with the last answer
    assert len(app.clients) == outcome.connections == 7
    assert (outcome.connection_errors, outcome.unanswered) == (0, 0)
    assert outcome.bytes_received > 500 * 3000
    assert sum(outcome.ok_per_second) == 500
    assert outcome.ok_rate == outcome.rate == 500 / outcome.seconds
    assert outcome.cpu_seconds > 0


def test_closed_loop_lasts_as_long_as_asked(app: CountingApp, port: int) -> None:
    outcome = run_load(Load(port, ["/a", "/b", "/c"], seconds=0.5, connections=2))
    assert outcome.seconds == 0.5
    counts = collections.Counter(app.paths)
    assert set(counts) == {"/a", "/b", "/c"}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert 0 <= len(app.paths) - outcome.requests <= 2  # what was under way at the end does not count


def test_closed_loop_does_not_count_what_comes_too_late(app: CountingApp, port: int) -> None:
    outcome = run_load(Load(port, ["/slow"], seconds=0.5, connections=1))
    assert 0 < outcome.requests == len(app.paths) - 1
    assert (outcome.unanswered, outcome.connection_errors) == (0, 0)
    assert outcome.elapsed_seconds > 0.5  # it was waited for all the same


def test_outcome_tells_statuses_cache_and_versions_apart(app: CountingApp, port: int) -> None:
    paths = ["/cached", "/cached", "/fresh", "/missing", "/unchanged"] * 10
    outcome = run_load(Load(port, paths, seconds=20, connections=3, order="once"))
    assert outcome.statuses == {"200": 30, "304": 10, "404": 10}
    assert outcome.cache == {"hit": 20, "miss": 30}
    assert outcome.versions == ["V1"]
    assert outcome.ok_rate == 30 / outcome.seconds


def test_latency_is_that_of_the_answers(app: CountingApp, port: int) -> None:
    outcome = run_load(Load(port, ["/fast"] * 95 + ["/slow"] * 5, seconds=20, connections=1, order="once"))
    latency = outcome.latency_ms
    assert list(latency) == ["p50", "p90", "p99", "max"]
    assert 0 < latency["p50"] <= latency["p90"] < latency["p99"] <= latency["max"]
    assert 200 <= latency["p99"] < 1000 * outcome.seconds
    assert outcome.slowest_ms == {"200": latency["max"]}


def test_long_body_is_one_answer(app: CountingApp, port: int) -> None:
    outcome = run_load(Load(port, ["/long"] * 20, seconds=20, connections=2, order="once"))
    assert outcome.statuses == {"200": 20}
    assert outcome.bytes_received > 20 * 1_500_000
    assert len(app.clients) == 2


def test_polite_end_of_a_connection_is_no_error(app: CountingApp, port: int) -> None:
    outcome = run_load(Load(port, ["/last"] * 30, seconds=20, connections=3, order="once"))
    assert outcome.statuses == {"200": 30}
    assert outcome.connection_errors == 0
    assert len(app.clients) == 30


@pytest.mark.parametrize("spacing", ["even", "poisson"])
def test_open_loop_keeps_its_rate(app: CountingApp, port: int, spacing: Any) -> None:
    outcome = run_load(Load(port, ["/a"], seconds=2, connections=50, rate=400, spacing=spacing))
    assert 650 < outcome.requests < 950
    assert len(app.paths) == outcome.requests
    assert outcome.unanswered == 0


def test_open_loop_opens_connections_as_needed(app: CountingApp, port: int) -> None:
    run_load(Load(port, ["/slow"], seconds=1, connections=100, rate=50, spacing="even"))
    assert 8 <= len(app.clients) < 45  # fifty a second, a fifth of a second each
    app.clients.clear()
    run_load(Load(port, ["/slow"], seconds=1, connections=3, rate=25, spacing="even"))
    assert len(app.clients) == 3


def test_open_loop_counts_latency_from_when_a_request_was_due(app: CountingApp, port: int) -> None:
    """Fifty at once, one after the other: a loop that waits for answers would see 20 ms each."""
    load = Load(port, ["/one-at-a-time"] * 50, seconds=0.1, connections=1, rate=1000, order="once")
    outcome = run_load(load)
    assert outcome.statuses == {"200": 50}
    assert outcome.latency_ms["max"] > 40 * 20
    assert outcome.latency_ms["p50"] > 20 * 20
    assert 20 <= outcome.since_sent_ms["p50"] < outcome.latency_ms["p50"] / 2


def test_requests_begin_at_the_moment_that_was_set(app: CountingApp, port: int) -> None:
    start_at = time.time() + 1.5
    run_load(Load(port, ["/a"] * 5, seconds=5, connections=5, order="once", start_at=start_at))
    assert len(app.paths) == 5
    assert app.first_asked >= start_at


def test_server_that_drops_connections_is_survived() -> None:
    """Every third request of a connection is not answered but cut off."""
    asked = collections.Counter[str]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(3):
            await reader.readuntil(b"\r\n\r\n")
            asked["cut" if number == 2 else "answered"] += 1
            if number < 2:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()

    with raw_server(handle) as port:
        closed = run_load(Load(port, ["/"] * 300, seconds=20, connections=4, order="once"))
        assert closed.statuses == {"200": asked["answered"]}
        assert closed.connection_errors == asked["cut"] > 50
        asked.clear()
        opened = run_load(Load(port, ["/"], seconds=1, connections=4, rate=300))
    assert opened.statuses == {"200": asked["answered"]}
    assert opened.connection_errors == asked["cut"] > 50
    assert opened.unanswered == 0


def test_connection_that_a_server_may_be_closing_is_not_used() -> None:
    """The server closes what was idle for five seconds just when a request arrives.

    Slow answers make the generator open many connections, quick ones leave most of them idle, and slow ones
    again let it want them all.
    """
    began = time.monotonic()
    cut = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cut
        last = time.monotonic()
        while True:
            await reader.readuntil(b"\r\n\r\n")
            now = time.monotonic()
            if now - last > 5:
                cut += 1
                return
            await asyncio.sleep(0.001 if 1 < now - began < 6.5 else 0.3)
            last = time.monotonic()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    with raw_server(handle) as port:
        began = time.monotonic()
        outcome = run_load(Load(port, ["/"], seconds=8, connections=100, rate=100))
    assert outcome.connections > 30
    assert (cut, outcome.connection_errors, outcome.unanswered) == (0, 0, 0)


def test_answer_that_is_not_understood_is_an_error() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        await writer.drain()
        await reader.read()

    with raw_server(handle) as port:
        outcome = run_load(Load(port, ["/"] * 5, seconds=10, connections=1, order="once"))
    assert (outcome.requests, outcome.connection_errors) == (0, 5)


def test_silent_server_does_not_hold_the_generator() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with raw_server(handle) as port:
        closed = run_load(Load(port, ["/"], seconds=0.2, connections=3, drain_seconds=0.2))
        opened = run_load(Load(port, ["/"], seconds=0.5, connections=3, rate=100, drain_seconds=0.2))
    assert (closed.requests, closed.unanswered, closed.latency_ms) == (0, 3, {})
    assert opened.requests == 0
    assert opened.unanswered > 20


def test_without_a_server_an_open_loop_counts_errors_and_a_closed_one_says_so() -> None:
    port = free_port()
    outcome = run_load(Load(port, ["/"], seconds=0.5, connections=3, rate=100))
    assert outcome.requests == 0
    assert outcome.connection_errors > 20
    assert outcome.unanswered == 0
    with pytest.raises(ServiceError, match="refused"):
        run_load(Load(port, ["/"], seconds=0.5, connections=3))


def test_zipf_load_asks_what_the_law_says(app: CountingApp, port: int) -> None:
    load = Load(port, [f"/{n}" for n in range(100)], seconds=0.5, connections=1, order="zipf", seed=3)
    run_load(load)
    assert app.paths == list(islice(ordered(load.paths, load), len(app.paths)))
    assert app.paths.count("/0") > 5 * app.paths.count("/50")
