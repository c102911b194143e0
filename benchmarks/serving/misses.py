"""Measures misses, answers that have to be computed, beside RQ's own no-op jobs."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from statistics import median

from benchmarks.load.contract import HOST, Load, Outcome, percentiles
from benchmarks.load.generator import run_load
from benchmarks.serving.bench import Bench, rates, troubles
from benchmarks.serving.client import suggestions
from benchmarks.serving.noop import NoOpWorkers
from benchmarks.serving.stack import Stack
from benchmarks.serving.table import Group, Mark, Row, number
from benchmarks.serving.usage import Usage
from shared.contract.jobs import BATCH_LIMIT
from shared.errors import ServiceError

_CONNECTIONS = (256, 512, 1024)
_WARM_UP_USERS = 400
_PAUSE_SECONDS = 0.03
"""Pause between lone requests, so that each finds all processes idle."""


def mark_of(movies: int) -> Mark | None:
    """Return the target of suggestions per no-op job: scoring more movies takes longer."""
    if movies <= 9_000:
        return Mark(">=", 10)
    return Mark(">=", 5) if movies <= 27_000 else None


def ask_all(stack: Stack, user_ids: Sequence[int], seconds: float, connections: int) -> Outcome:
    """Request each user once in a closed loop, until the time is over or all were requested."""
    paths = [suggestions(user_id) for user_id in user_ids]
    return run_load(Load(stack.port, paths, seconds, connections, order="once"))


def best_connections(bench: Bench, stack: Stack, user_ids: Sequence[int]) -> tuple[int, dict[int, float]]:
    """Return the number of connections with the most answers per second, and all rates that were tried."""
    tried = {}
    for connections in _CONNECTIONS:
        bench.tell(f"misses over {connections} connections")
        stack.forget(bench.spare[:_WARM_UP_USERS])
        tried[connections] = ask_all(stack, user_ids, bench.plan.seconds, connections).ok_rate
    return max(tried, key=lambda connections: tried[connections]), tried


def measure_misses(bench: Bench) -> Iterator[Group]:
    """Request each user once, over HTTP and without it, with one worker and with two."""
    for movies in bench.movies:
        for n_workers in (1, 2):
            with Stack(bench.data(movies)) as stack:
                stack.scale(n_workers)
                yield _measure_misses(bench, stack, movies, n_workers)


def _measure_misses(bench: Bench, stack: Stack, movies: int, n_workers: int) -> Group:
    workers = f"{n_workers} worker{'s' * (n_workers > 1)}"
    users = bench.asked
    connections, tried = best_connections(bench, stack, users)
    jobs = NoOpWorkers(stack, n_workers)
    usages = {name: Usage(name) for name in ("over HTTP", "batches", "no-op jobs")}

    def over_http() -> float:
        outcomes.append(_ask_afresh(bench, stack, connections, usages["over HTTP"]))
        return outcomes[-1].ok_rate

    def batches() -> float:
        stack.forget(bench.spare[:_WARM_UP_USERS])
        n = min(len(users), round(bench.plan.seconds * max(tried.values()) * 2))
        return n / usages["batches"].work(stack.pids, lambda: stack.compute(users[:n]))

    def no_op() -> float:
        pids = {**jobs.pids, "Redis": stack.pids["Redis"]}
        return usages["no-op jobs"].work(pids, lambda: jobs.drain(bench.plan.no_op_jobs * n_workers))

    outcomes: list[Outcome] = []
    found = bench.in_turns(
        f"misses, {movies:,} movies, {workers}",
        {"http": over_http, "batches": batches, "no-op": no_op},
    )
    jobs.close()
    group = Group(
        "misses",
        f"Misses, {movies:,} movies, {workers}: each user once, nothing in any cache (benchmarks.load); "
        f"against RQ's no-op jobs, {workers}",
    )
    for side, what, mark in (
        ("http", f"over HTTP, {connections} connections", mark_of(movies)),
        ("batches", f"jobs for {BATCH_LIMIT} users each, no HTTP", mark_of(movies)),
    ):
        group.rows.append(
            Row(
                what,
                median(found[side]),
                "suggestions/s",
                "RQ no-op",
                median(found["no-op"]),
                "jobs/s",
                mark,
                found[side],
                found["no-op"],
            )
        )
    asked = sum(outcome.requests for outcome in outcomes)
    missed = sum(outcome.cache.get("miss", 0) for outcome in outcomes)
    group.notes.append(
        "Tried: "
        + ", ".join(f"{n} connections {number(rate)}/s" for n, rate in tried.items())
        + f". X-Cache: miss in {100 * missed / max(1, asked):.1f} % of the answers."
    )
    group.notes += troubles("over HTTP", outcomes)
    group.notes += [usage.note() for usage in usages.values()]
    return group


def measure_scaling(bench: Bench) -> Iterator[Group]:
    """Measure misses with 1, 2 and 4 workers."""
    for movies in bench.movies:
        group = Group("scaling", f"Misses over HTTP by workers, {movies:,} movies (benchmarks.load)")
        with Stack(bench.data(movies)) as stack:
            stack.scale(2)
            connections, _ = best_connections(bench, stack, bench.asked)
            first: Row | None = None
            for n_workers in (1, 2, 4):
                stack.scale(n_workers)
                workers = f"{n_workers} worker{'s' * (n_workers > 1)}"
                bench.tell(f"misses, {movies:,} movies, {workers}")
                usage = Usage(workers)
                outcomes = [_ask_afresh(bench, stack, connections, usage) for _ in range(bench.plan.repeats)]
                row = Row(
                    f"{workers}, {connections} connections",
                    median(rates(outcomes)),
                    "suggestions/s",
                    "1 worker" if first else "",
                    first.value if first else None,
                    runs=rates(outcomes),
                    other_runs=first.runs if first else [],
                )
                first = first or row
                group.rows.append(row)
                group.notes += troubles(row.what, outcomes)
                group.notes.append(usage.note())
        yield group


def _ask_afresh(bench: Bench, stack: Stack, connections: int, usage: Usage) -> Outcome:
    stack.forget(bench.spare[:_WARM_UP_USERS])
    return usage.load(stack.pids, lambda: ask_all(stack, bench.asked, bench.plan.seconds, connections))


def measure_lone(bench: Bench) -> Iterator[Group]:
    """A single miss while nothing else goes on, against a single no-op job."""
    for movies in bench.movies:
        with Stack(bench.data(movies)) as stack:
            stack.scale(1)
            stack.forget(bench.spare[:_WARM_UP_USERS])
            jobs = NoOpWorkers(stack, 1)
            direct, over_http, theirs = [], [], []
            with closing(http.client.HTTPConnection(HOST, stack.port, timeout=30)) as connection:
                users = bench.asked[: 2 * bench.plan.lone]
                for number_, (first, second) in enumerate(zip(users[::2], users[1::2], strict=True)):
                    if number_ % 20 == 0:
                        bench.tell(f"lone misses, {movies:,} movies")
                    over_http.append(1000 * _lone_miss(connection, first))
                    time.sleep(_PAUSE_SECONDS)
                    direct.append(1000 * stack.lone_ranking(second))
                    time.sleep(_PAUSE_SECONDS)
                    theirs.append(1000 * jobs.lone_job())
                    time.sleep(_PAUSE_SECONDS)
            jobs.close()
        group = Group(
            "lone",
            f"A lone miss, {movies:,} movies, from enqueue to the ranking in hand, and from HTTP request to "
            f"answer; against a lone no-op job, from enqueue to latest_result ({bench.plan.lone} each, "
            "in turns)",
        )
        for what, ours, mark in (
            ("from enqueue to result", direct, Mark("<=", 1.5)),
            ("from HTTP request to answer", over_http, None),
        ):
            for name in ("p50", "p90"):
                group.rows.append(
                    Row(
                        f"{what}, {name}",
                        percentiles(ours)[name],
                        "ms",
                        "RQ no-op",
                        percentiles(theirs)[name],
                        mark=mark if name == "p50" else None,
                        runs=ours,
                        other_runs=theirs,
                    )
                )
        yield group


def _lone_miss(connection: http.client.HTTPConnection, user_id: int) -> float:
    started = time.perf_counter()
    connection.request("GET", suggestions(user_id))
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - started
    if response.status != 200 or response.headers["X-Cache"] != "miss":
        raise ServiceError(f"A lone miss was answered with {response.status}: {json.loads(body)}")
    return seconds
