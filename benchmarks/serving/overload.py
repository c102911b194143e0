"""Three times as many questions as can be answered.

The mark is for a number of workers that leaves a core to gateway, Redis and generator. Without one the time
that it takes to ask twice as much again, and to refuse it, is missing from the answers.
"""

import os
import time
from collections.abc import Iterator, Mapping
from statistics import fmean, median

from benchmarks.load.contract import Load
from benchmarks.load.generator import LoadProcess
from benchmarks.serving.bench import Bench
from benchmarks.serving.client import suggestions
from benchmarks.serving.misses import ask_all, best_connections
from benchmarks.serving.stack import WAIT_BUDGET_SECONDS, Stack
from benchmarks.serving.table import Group, Mark, Row, number
from benchmarks.serving.usage import GENERATOR, Usage, resident_megabytes

_WORKERS = (1, 2)
_OVER = 3
_CONNECTIONS = 6000
_WARM_UP_USERS = 400
_SAMPLE_SECONDS = 0.5
_BEGIN = 1 / 6
"""Part of the run before the state counts as steady."""

_LEAD_SECONDS = 2.0
"""For the generator to start."""


def measure_overload(bench: Bench) -> Iterator[Group]:
    """Find the peak of misses, then ask three times as fast without waiting for answers."""
    for n_workers in _WORKERS:
        yield _measure_overload(bench, n_workers)


def _measure_overload(bench: Bench, n_workers: int) -> Group:
    data, size = bench.data_of_many()
    users = range(1, size.users + 1 - _WARM_UP_USERS)
    spare = range(size.users + 1 - _WARM_UP_USERS, size.users + 1)
    with Stack(data) as stack:
        stack.scale(n_workers)
        connections, tried = best_connections(bench, stack, users)
        peaks = []
        at_peak = Usage("at the peak")
        for turn in range(bench.plan.repeats):
            bench.tell(f"the peak over {connections} connections, {turn + 1} of {bench.plan.repeats}")
            stack.forget(spare)
            outcome = at_peak.load(stack.pids, lambda: ask_all(stack, users, bench.plan.seconds, connections))
            peaks.append(outcome.ok_rate)
        peak = median(peaks)
        rate = _OVER * peak
        seconds = min(bench.plan.overload_seconds, len(users) / rate)
        stack.forget(spare)
        usage = Usage("under overload")
        bench.tell(f"overload, {number(rate)} questions a second for {seconds:.0f} s")
        paths = [suggestions(user_id) for user_id in users]
        load = Load(
            stack.port,
            paths,
            seconds,
            _CONNECTIONS,
            rate=rate,
            order="once",
            start_at=time.time() + _LEAD_SECONDS,
            drain_seconds=2 * WAIT_BUDGET_SECONDS,
        )
        process = LoadProcess(load)
        sizes: list[dict[str, float]] = []
        try:
            outcome = usage.load(stack.pids, lambda: _watch(process, stack.pids, sizes).outcome())
        finally:
            process.stop()
    first = max(1, round(seconds * _BEGIN))
    steady = outcome.ok_per_second[first : max(first + 1, int(seconds))]
    marked = n_workers < len(os.sched_getaffinity(0))
    workers = f"{n_workers} worker{'s' * (n_workers > 1)}"
    group = Group(
        "overload",
        f"{_OVER} x the peak of misses, {number(rate)} questions/s for {seconds:.0f} s, {workers}, "
        f"{size.ratings:,} ratings of {size.movies:,} movies, up to {_CONNECTIONS:,} connections "
        "(benchmarks.load, random arrivals)",
    )
    group.rows = [
        Row(
            "answered with 200, steady",
            fmean(steady) if steady else 0.0,
            "answers/s",
            "the peak",
            peak,
            mark=Mark(">=", 0.9) if marked else None,
            runs=[float(n) for n in steady],
            other_runs=peaks,
        ),
        Row(
            "slowest answer",
            outcome.latency_ms.get("max", 0.0) / 1000,
            "s",
            "WAIT_BUDGET",
            WAIT_BUDGET_SECONDS,
            mark=Mark("<=", 1),
        ),
        *(
            Row(
                f"  {name} of all answers",
                outcome.latency_ms.get(name, 0.0),
                "ms",
                "of it since it was sent",
                outcome.since_sent_ms.get(name, 0.0),
            )
            for name in ("p50", "p99", "max")
        ),
    ]
    for status, count in outcome.statuses.items():
        slowest = outcome.slowest_ms[status]
        share = 100 * count / max(1, outcome.requests)
        group.rows.append(Row(f"share of {status} (slowest {number(slowest)} ms)", share, "%"))
    lost = outcome.unanswered + outcome.connection_errors
    group.rows.append(Row("requests without an answer", lost, "requests", mark=Mark("=", 0)))
    group.rows += _memory_rows(sizes)
    group.notes = [
        f"Of {len(users):,} users each is asked at most once, with all caches empty at the start"
        + (f"; there are users for {seconds:.0f} s." if seconds < bench.plan.overload_seconds else "."),
        "Latency counts from when a question was due; what it waited for a free connection is a part of it.",
        f"Peak: the median of {bench.plan.repeats} runs over {connections} connections; tried before: "
        + ", ".join(f"{n} connections {number(rate)}/s" for n, rate in tried.items())
        + ".",
        f"{outcome.connections:,} connections were opened; the generator was late by "
        f"{number(outcome.late_ms)} ms at its p99.",
        at_peak.note(),
        usage.note(),
    ]
    if not marked:
        before, after = at_peak.cores[GENERATOR], usage.cores[GENERATOR]
        group.notes.append(
            f"Without a mark: with {workers} no core is left over for asking and refusing. To ask alone took "
            f"{after:.2f} cores instead of {before:.2f}."
        )
    return group


def _watch(process: LoadProcess, pids: Mapping[str, int], sizes: list[dict[str, float]]) -> LoadProcess:
    """Note the memory of all processes until the generator ends."""
    while process.process.poll() is None:
        sizes.append({name: resident_megabytes(pid) for name, pid in pids.items()})
        time.sleep(_SAMPLE_SECONDS)
    return process


def _memory_rows(sizes: list[dict[str, float]]) -> list[Row]:
    before, between, after = sizes[0], sizes[len(sizes) // 2], sizes[-1]
    return [
        Row(
            f"memory of {name}, {number(before[name])} MB before, at the end",
            after[name],
            "MB",
            "in the middle",
            between[name],
            mark=None if name == "Redis" else Mark("<", 1.1),
            runs=[size[name] for size in sizes],
        )
        for name in sorted(before)
    ]
