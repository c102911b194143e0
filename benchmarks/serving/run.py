"""Runs the measurements, one after the other."""

import json
import os
import platform
import resource
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.bench import FULL, QUICK, Bench, hit_generator
from benchmarks.serving.events import measure_stampede, measure_swap
from benchmarks.serving.footprint import measure_cached_bytes, measure_worker_memory
from benchmarks.serving.hits import measure_hits, measure_zipf
from benchmarks.serving.misses import measure_lone, measure_misses, measure_scaling
from benchmarks.serving.overload import measure_overload
from benchmarks.serving.table import Group, render
from shared.errors import ConfigurationError
from shared.progress import Progress, Step
from shared.result_files import write_files

MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Group]]] = {
    "hits": measure_hits,
    "zipf": measure_zipf,
    "misses": measure_misses,
    "lone": measure_lone,
    "scaling": measure_scaling,
    "overload": measure_overload,
    "stampede": measure_stampede,
    "swap": measure_swap,
    "bytes": measure_cached_bytes,
    "memory": measure_worker_memory,
}
MOVIES = (9_000, 27_000)


def run(
    movies: Sequence[int],
    *,
    only: Sequence[str],
    quick: bool,
    directory: Path,
    results: Path,
    progress: Progress,
) -> str:
    """Measure and return the tables.

    Parameters
    ----------
    movies : sequence of int
        Numbers of movies; empty for the defaults.
    only : sequence of str
        Names of measurements; empty for all.
    quick : bool
        Whether only to check that everything works.
    directory : Path
        Directory in which data sets are generated and kept.
    results : Path
        Directory of ``bench_serving.txt`` and ``.json``. A quick or partial run writes
        ``bench_serving_part.*``, so that it does not replace a whole one.
    progress : callable
        Called with each step.

    Raises
    ------
    ConfigurationError
        If there is no such measurement.
    ServiceError
        If something cannot be started.
    """
    for name in only:
        if name not in MEASUREMENTS:
            raise ConfigurationError(
                f"There is no measurement {name!r}; choose from: {', '.join(MEASUREMENTS)}."
            )
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each connection takes two
    chosen = [name for name in MEASUREMENTS if not only or name in only]
    sizes = list(movies) or list(MOVIES[:1] if quick else MOVIES)
    bench = Bench(directory, sizes, QUICK if quick else FULL, progress)
    groups: list[Group] = []
    stem = "bench_serving" if len(chosen) == len(MEASUREMENTS) and not quick else "bench_serving_part"
    table = ""
    for number, name in enumerate(chosen):
        progress(Step("measuring", number, len(chosen), "measurement"))
        for group in MEASUREMENTS[name](bench):
            groups.append(group)
            table = render(_head(bench, quick), groups)
            document = {**_machine(bench, quick), "groups": [group.document() for group in groups]}
            files = {f"{stem}.txt": table, f"{stem}.json": json.dumps(document, indent=2) + "\n"}
            write_files(results, {name: text.encode() for name, text in files.items()})
    progress(Step("measuring", len(chosen), len(chosen), "measurement"))
    return table


def _machine(bench: Bench, quick: bool) -> dict[str, object]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("uvicorn", "uvloop", "fastapi", "redis", "rq")},
        "movies": list(bench.movies),
        "load_of_hits": hit_generator(),
        "quick": quick,
        "run_seconds": bench.plan.seconds,
        "repeats": bench.plan.repeats,
    }


def _head(bench: Bench, quick: bool) -> list[str]:
    machine = _machine(bench, quick)
    plan = bench.plan
    lines = [
        f"Serving, on {machine['cores']} cores shared by servers, Redis and load generator. Median of "
        f"{plan.repeats} runs of {plan.seconds:g} s each, the sides in turns.",
        f"Hits are asked for by {machine['load_of_hits']}, all else by benchmarks.load.",
    ]
    if quick:
        lines.append("A quick run, to see that everything works: the figures mean little.")
    return lines
