"""Measures single events: many equal requests at once, and a new model under load."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.load.contract import Load, Outcome
from benchmarks.load.generator import LoadProcess, run_load
from benchmarks.serving.bench import Bench, middle, rates, troubles
from benchmarks.serving.client import suggestions
from benchmarks.serving.stack import Stack
from benchmarks.serving.table import Group, Mark, Row
from benchmarks.serving.usage import Usage
from shared.artifacts.store import ArtifactStore
from shared.contract import keys

_AT_ONCE = 500
_LEAD_SECONDS = 3.0
"""Time for the generator to start and to open its connections."""

_HELD_BEFORE_SECONDS, _HELD_AFTER_SECONDS = 0.1, 0.6
"""How long the worker is stopped, so that all requests arrive before the answer; short enough that it does
not count as dead."""

_SETTLE_SECONDS = 0.5
_SWAP_USERS = 1_000
_SWAP_CONNECTIONS = 32
_SWAP_RUN = 2
"""How many times longer its runs are than others: workers look for a new model twice a second."""


def measure_stampede(bench: Bench) -> Iterator[Group]:
    """Send many requests at once for a user that is not in any cache."""
    computed, missed, answered = [], [], []
    outcomes = []
    with Stack(bench.data(bench.movies[0])) as stack:
        stack.scale(1)
        stack.ask_once(bench.spare[:100])
        for user_id in islice(bench.asked, bench.plan.repeats):
            bench.tell(f"{_AT_ONCE} questions at once")
            before = stack.count(keys.Counter.COMPUTED)
            outcome = _ask_at_once(stack, user_id)
            time.sleep(_SETTLE_SECONDS)  # a second job would be counted by then
            computed.append(float(stack.count(keys.Counter.COMPUTED) - before))
            missed.append(float(outcome.cache.get("miss", 0)))
            answered.append(float(outcome.statuses.get("200", 0)))
            outcomes.append(outcome)
    group = Group(
        "stampede",
        f"{_AT_ONCE} connections ask for one user at once; the worker is held until all have asked "
        f"({bench.plan.repeats} x, the worst of them)",
    )
    group.rows = [
        Row("rankings computed", max(computed), "rankings", mark=Mark("=", 1), runs=computed),
        Row("answered with 200", min(answered), "answers", mark=Mark("=", _AT_ONCE), runs=answered),
        Row("  of them X-Cache: miss", min(missed), "answers", runs=missed),
    ]
    group.notes += troubles(f"{_AT_ONCE} at once", outcomes)
    yield group


def _ask_at_once(stack: Stack, user_id: int) -> Outcome:
    start_at = time.time() + _LEAD_SECONDS
    paths = [suggestions(user_id)] * _AT_ONCE
    process = LoadProcess(Load(stack.port, paths, 10, _AT_ONCE, order="once", start_at=start_at))
    (worker,) = stack.worker_pids
    try:
        time.sleep(max(0.0, start_at - _HELD_BEFORE_SECONDS - time.time()))
        os.kill(worker, signal.SIGSTOP)
        time.sleep(_HELD_BEFORE_SECONDS + _HELD_AFTER_SECONDS)
        os.kill(worker, signal.SIGCONT)
        return process.outcome()
    finally:
        os.kill(worker, signal.SIGCONT)
        process.stop()


def measure_swap(bench: Bench) -> Iterator[Group]:
    """Publish a new version during requests for users that were answered before."""
    users = bench.asked[:_SWAP_USERS]
    seconds = _SWAP_RUN * bench.plan.seconds
    before, during = Usage("before"), Usage("during the swap")
    calm, swapped = [], []
    foreign: set[str] = set()
    with Stack(bench.data(bench.movies[0])) as stack:
        stack.scale(2)
        load = Load(stack.port, [suggestions(user_id) for user_id in users], seconds, _SWAP_CONNECTIONS)
        for turn in range(bench.plan.repeats):
            bench.tell(f"a new model under load, {turn + 1} of {bench.plan.repeats}")
            stack.ask_once(users)
            calm.append(before.load(stack.pids, lambda: run_load(load)))
            swap = _Swap(stack, load)
            swapped.append(during.load(stack.pids, swap.run))
            foreign |= set(swapped[-1].versions) ^ swap.versions
    failed = [float(_failures(outcome)) for outcome in swapped]
    group = Group(
        "swap",
        f"A new version is published while {_SWAP_CONNECTIONS} connections ask for {len(users):,} users in "
        f"turn, 2 workers (benchmarks.load, {seconds:.0f} s, {bench.plan.repeats} x)",
    )
    group.rows = [
        Row("failed requests during the swap", sum(failed), "requests", mark=Mark("=", 0), runs=failed),
        Row("versions not seen, or seen besides the two", len(foreign), "versions", mark=Mark("=", 0)),
    ]
    for name in ("p50", "p99", "max"):
        group.rows.append(
            Row(
                f"{name} during the swap",
                middle(swapped, name),
                "ms",
                "before",
                middle(calm, name),
                runs=[outcome.latency_ms[name] for outcome in swapped],
                other_runs=[outcome.latency_ms[name] for outcome in calm],
            )
        )
    group.rows.append(
        Row(
            "answers, slowest second of the swap",
            min(float(min(outcome.ok_per_second)) for outcome in swapped),
            "answers/s",
            "before",
            median(rates(calm)),
        )
    )
    group.notes.append(
        "The version is a copy of the one before under a new name: no training competes for the cores."
    )
    group.notes += [*troubles("before", calm), *troubles("during the swap", swapped)]
    group.notes += [before.note(), during.note()]
    yield group


def _failures(outcome: Outcome) -> int:
    bad = sum(count for status, count in outcome.statuses.items() if status != "200")
    return bad + outcome.connection_errors + outcome.unanswered


class _Swap:
    """Makes load, and publishes a new version in the middle of it."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self._stack = stack
        self._store = ArtifactStore(stack.data_dir / "model")
        self._load = replace(load, start_at=time.time() + _LEAD_SECONDS)
        self.versions: set[str] = set()

    def run(self) -> Outcome:
        assert self._load.start_at is not None
        process = LoadProcess(self._load)
        try:
            time.sleep(max(0.0, self._load.start_at + self._load.seconds / 4 - time.time()))
            self.versions = set(publish_copy(self._store))
            return process.outcome()
        finally:
            process.stop()


def publish_copy(store: ArtifactStore) -> tuple[str, str]:
    """Publish the current version's files under a new name; return both names.

    Raises
    ------
    ArtifactError
        If there is no current version, or it cannot be written.
    """
    old = store.manifest(store.current_version() or "")

    def write(directory: Path) -> None:
        for name in old.files:
            shutil.copyfile(store.path(old.version) / name, directory / name)

    new = store.publish(
        write,
        algorithm=old.algorithm,
        parameters=old.parameters,
        data=old.data,
        metrics=old.metrics,
        libraries=old.libraries,
        keep=2,
    )
    return old.version, new.version
