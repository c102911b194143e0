"""Measures hits: answers in the gateway's memory, or in Redis."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from benchmarks.load.contract import Load, Outcome
from benchmarks.load.generator import run_hits, run_load
from benchmarks.serving.baselines import Baseline, Side
from benchmarks.serving.bench import Bench, hit_generator, middle, rates, troubles
from benchmarks.serving.client import Reply, suggestions
from benchmarks.serving.stack import Stack
from benchmarks.serving.table import Group, Mark, Row, number
from benchmarks.serving.usage import Usage
from shared.contract import keys
from shared.contract.kinds import Kind
from shared.errors import ServiceError
from shared.processes.children import free_port

_CONNECTIONS = 32
_HOT = 200
_HALF_LOAD_CONNECTIONS = 128
_HALF = "gateway at half its peak"
_SMALL_MEMORY_MB = 1
"""Room for the few dozen most requested users, so that most requests go to Redis."""

_SERVERS_OWN = {"date", "server", "connection"}
"""Headers that uvicorn adds itself, or that concern one connection."""


def measure_hits(bench: Bench) -> Iterator[Group]:
    """Compare hot paths with a constant from FastAPI and from a bare ASGI application."""
    with Stack(bench.data(bench.movies[0])) as stack:
        stack.scale(1)
        hot = list(bench.asked[:_HOT])
        stack.ask_once(hot)
        sample = stack.get(suggestions(hot[0]))
        _require_hit(sample)
        paths = {"one": [suggestions(hot[0])], "many": [suggestions(user_id) for user_id in hot]}
        usages = {
            side: Usage(side) for side in ("gateway", "FastAPI", "bare ASGI", "gateway at half its peak")
        }

        def gateway(which: str) -> Outcome:
            load = Load(stack.port, paths[which], bench.plan.seconds, _CONNECTIONS)
            return usages["gateway"].load(stack.pids, lambda: run_hits(load))

        sides = {"one": partial(gateway, "one"), "many": partial(gateway, "many")}
        for name, side in (("FastAPI", Side.FASTAPI), ("bare ASGI", Side.ASGI)):
            baseline = _constant(side, sample)
            load = Load(baseline.port, ["/"], bench.plan.seconds, _CONNECTIONS)
            pids = {name: stack.start_baseline(baseline)}
            sides[name] = partial(usages[name].load, pids, partial(run_hits, load))
        found = bench.in_turns("hits", sides)

        group = Group(
            "hits",
            f"Answers from the gateway's memory, {number(len(sample.body))} bytes each, {_CONNECTIONS} "
            f"connections ({hit_generator()}); against the same body as a constant",
        )
        for which, what in (("one", "one hot path"), ("many", f"{_HOT} hot paths")):
            for name, limit in (("FastAPI", 2.5), ("bare ASGI", 0.7)):
                group.rows.append(
                    Row(
                        what,
                        median(rates(found[which])),
                        "answers/s",
                        name,
                        median(rates(found[name])),
                        mark=Mark(">=", limit),
                        runs=rates(found[which]),
                        other_runs=rates(found[name]),
                    )
                )
        half = median(rates(found["many"])) / 2
        calm = bench.in_turns(
            "hits at half the peak",
            {"gateway": lambda: _at_half_load(bench, stack, paths["many"], half, usages)},
        )["gateway"]
        what = f"{_HOT} paths at {number(half)}/s, arrivals at random"
        group.rows.append(Row(f"{what}: p50", middle(calm, "p50"), "ms"))
        group.rows.append(Row("  p99", middle(calm, "p99"), "ms", mark=Mark("<", 10)))
        late = max(outcome.late_ms for outcome in calm)
        group.notes.append(
            "Latency counts from when a request was due (benchmarks.load), the generator's own delay "
            f"included: {number(late)} ms at its p99."
        )
        for name, outcomes in {**found, "half the peak": calm}.items():
            group.notes += troubles(name, outcomes)
        group.notes += [usage.note() for usage in usages.values()]
        yield group


def _constant(side: Side, sample: Reply) -> Baseline:
    """Return a server that always sends the gateway's answer."""
    headers = [(name, value) for name, value in sample.headers if name.lower() not in _SERVERS_OWN]
    return Baseline(side, free_port(), sample.body.decode(), headers)


def _require_hit(sample: Reply) -> None:
    found = {name.lower(): value for name, value in sample.headers}.get("x-cache")
    if sample.status != 200 or found != "hit":
        raise ServiceError(f"No hit, though it was asked before: status {sample.status}, X-Cache: {found}.")


def _at_half_load(
    bench: Bench, stack: Stack, paths: list[str], rate: float, usages: dict[str, Usage]
) -> Outcome:
    load = Load(stack.port, paths, bench.plan.seconds, _HALF_LOAD_CONNECTIONS, rate=rate)
    return usages[_HALF].load(stack.pids, lambda: run_load(load))


def measure_zipf(bench: Bench) -> Iterator[Group]:
    """Compare a new gateway in front of a full Redis with a FastAPI route with one look-up."""
    users = bench.asked
    with Stack(bench.data(bench.movies[0])) as stack:
        stack.scale(1)
        bench.tell("computing all rankings")
        stack.compute(users)
        sample = stack.get(suggestions(users[0]))
        _require_hit(sample)
        key, ranking_field = keys.ranking(Kind.SUGGESTED, users[0])
        packed = stack.cache.hget(key, ranking_field) or b""
        copy = "bench:look-up"
        stack.cache.set(copy, packed)
        port = free_port()
        baseline = Baseline(Side.LOOK_UP, port, sample.body.decode(), redis_url=stack.redis_url(1), key=copy)
        pid = stack.start_baseline(baseline)
        usages = {
            "small": Usage(f"gateway, {_SMALL_MEMORY_MB} MB"),
            "usual": Usage("gateway"),
            "FastAPI": Usage("FastAPI + redis.asyncio"),
        }
        reads: dict[str, list[int]] = {"small": [], "usual": []}
        paths = [suggestions(user_id) for user_id in users]

        def gateway(which: str, **settings: str) -> Outcome:
            stack.restart_gateway(**settings)
            before = _reads(stack)
            load = Load(stack.port, paths, bench.plan.seconds, _CONNECTIONS, order="zipf")
            outcome = usages[which].load(stack.pids, lambda: run_hits(load))
            reads[which].append(_reads(stack) - before)
            return outcome

        def look_up() -> Outcome:
            load = Load(port, ["/"], bench.plan.seconds, _CONNECTIONS)
            pids = {"FastAPI": pid, "Redis": stack.pids["Redis"]}
            return usages["FastAPI"].load(pids, lambda: run_hits(load))

        sides: dict[str, Callable[[], Outcome]] = {
            "small": partial(gateway, "small", LOCAL_CACHE_MB=str(_SMALL_MEMORY_MB)),
            "usual": partial(gateway, "usual"),
            "FastAPI": look_up,
        }
        found = bench.in_turns("keys after Zipf's law", sides)
        group = Group(
            "zipf",
            f"Keys drawn after Zipf's law from {len(users):,} users, all in Redis, none in the memory of the "
            f"fresh gateway, {_CONNECTIONS} connections ({hit_generator()}); against one look-up a request",
        )
        for which, memory in (
            ("small", f"memory of {_SMALL_MEMORY_MB} MB, for a few dozen users"),
            ("usual", "memory as it is by default"),
        ):
            group.rows.append(
                Row(
                    memory,
                    median(rates(found[which])),
                    "answers/s",
                    "FastAPI + redis.asyncio",
                    median(rates(found["FastAPI"])),
                    mark=Mark(">=", 1.2),
                    runs=rates(found[which]),
                    other_runs=rates(found["FastAPI"]),
                )
            )
            shares = [
                100 * n / outcome.requests for n, outcome in zip(reads[which], found[which], strict=True)
            ]
            # The row is about answers from Redis: with few of them its mark would be reached by memory alone.
            mark = Mark(">=", 50) if which == "small" else None
            group.rows.append(Row("  of them read from Redis", median(shares), "%", mark=mark, runs=shares))
        group.notes.append(
            f"A value in Redis has {len(packed):,} bytes; reads are counted by Redis itself (commandstats)."
        )
        for name, outcomes in found.items():
            group.notes += troubles(name, outcomes)
        group.notes += [usage.note() for usage in usages.values()]
        yield group


def _reads(stack: Stack) -> int:
    """Return how many hash fields were read from Redis so far."""
    stats = stack.cache.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("hget", "hmget"))
