"""Measures the bytes of a cached user in Redis, and the memory of one more worker."""

from collections.abc import Iterator
from statistics import fmean

from benchmarks.memory import private_megabytes
from benchmarks.serving.bench import Bench
from benchmarks.serving.noop import NoOpWorkers
from benchmarks.serving.stack import Stack
from benchmarks.serving.table import Group, Mark, Row
from shared.contract import keys
from shared.contract.kinds import Kind

_CACHED_USERS = 1_000
_WORKERS = 3
_NO_OP_JOBS = 50


def measure_cached_bytes(bench: Bench) -> Iterator[Group]:
    """Measure the bytes that Redis needs for each user."""
    users = bench.asked[:_CACHED_USERS]
    with Stack(bench.data(bench.movies[0])) as stack:
        stack.scale(1)
        bench.tell("bytes of a cached user")
        stack.compute(users)
        with stack.cache.pipeline(transaction=False) as pipeline:
            for user_id in users:
                pipeline.memory_usage(keys.ranking(Kind.SUGGESTED, user_id)[0], samples=0)
            sizes = [float(size) for size in pipeline.execute()]
        version = stack.cache.info("server")["redis_version"]
    group = Group("bytes", f"A cached user in Redis {version} (MEMORY USAGE, {len(sizes):,} users)")
    group.rows = [
        Row("mean", fmean(sizes), "bytes", mark=Mark("<=", 2048)),
        Row("largest", max(sizes), "bytes"),
    ]
    yield group


def measure_worker_memory(bench: Bench) -> Iterator[Group]:
    """Measure the memory that belongs to each worker alone."""
    for movies in bench.movies:
        with Stack(bench.data(movies)) as stack:
            stack.scale(_WORKERS)
            bench.tell(f"memory of a worker, {movies:,} movies")
            stack.compute(bench.asked)
            jobs = NoOpWorkers(stack, 1)
            jobs.drain(_NO_OP_JOBS)
            jobs.close()
            bare = [private_megabytes(pid) for pid in jobs.pids.values()]
            ours = [private_megabytes(pid) for pid in stack.worker_pids]
        group = Group(
            "memory",
            f"Private memory of a worker, {movies:,} movies, {_WORKERS} workers after {len(bench.asked):,} "
            "suggestions; against an RQ worker after no-op jobs",
        )
        group.rows = [
            Row("a worker, mean", fmean(ours), "MB", "RQ worker", fmean(bare), runs=ours, other_runs=bare),
            Row("  above an RQ worker", fmean(ours) - fmean(bare), "MB"),
        ]
        yield group
