"""What all measurements work with: how long, on which data, and both sides in turns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.load.contract import Outcome
from benchmarks.load.generator import find_wrk
from benchmarks.serving.data import Size, prepare
from shared.progress import Progress, Step

T = TypeVar("T")

ASKED_USERS = 10_000
_USERS, _RATINGS = 12_000, 1_200_000
_MANY_USERS, _RATINGS_OF_MANY = 300_000, 30_000_000


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    seconds : float
        Of each run.
    repeats : int
        Runs of each side.
    lone : int
        Questions, and jobs, that are alone.
    no_op_jobs : int
        For each worker in a run.
    overload_seconds : float
        Of the run above capacity.
    many_users : bool
        Whether that run has a data set of its own, with users enough to ask each once.
    """

    seconds: float
    repeats: int
    lone: int
    no_op_jobs: int
    overload_seconds: float
    many_users: bool


FULL = Plan(seconds=5, repeats=3, lone=200, no_op_jobs=500, overload_seconds=30, many_users=True)
QUICK = Plan(seconds=1, repeats=1, lone=20, no_op_jobs=50, overload_seconds=3, many_users=False)


@dataclass(frozen=True)
class Bench:
    """A run of the benchmark.

    Attributes
    ----------
    directory : Path
        Where data sets are made and kept.
    movies : sequence of int
        Sizes of the catalogue; what does not depend on it is measured on the first.
    plan : Plan
        How much is measured.
    progress : callable
        Told about each step.
    """

    directory: Path
    movies: Sequence[int]
    plan: Plan
    progress: Progress

    @property
    def asked(self) -> range:
        """Users who are asked for."""
        return range(1, ASKED_USERS + 1)

    @property
    def spare(self) -> range:
        """Users for the first requests of a process."""
        return range(ASKED_USERS + 1, _USERS + 1)

    def data(self, movies: int) -> Path:
        """Return a prepared data directory with so many movies."""
        size = Size(movies, _USERS, _RATINGS)
        return prepare(self.directory / f"serving-{movies}", size, self.progress)

    def data_of_many(self) -> tuple[Path, Size]:
        """Return a data directory with the largest catalogue, with many users if the plan says so."""
        movies = self.movies[-1]
        if not self.plan.many_users:
            return self.data(movies), Size(movies, _USERS, _RATINGS)
        size = Size(movies, _MANY_USERS, _RATINGS_OF_MANY)
        return prepare(self.directory / f"serving-{movies}-many-users", size, self.progress), size

    def tell(self, what: str) -> None:
        """Say what is done now."""
        self.progress(Step(what, 0))

    def in_turns(self, what: str, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
        """Run all sides again and again, one after the other, so that all see the same machine.

        Parameters
        ----------
        what : str
            For the progress.
        sides : mapping of str to callable
            What to run.

        Returns
        -------
        dict of str to list
            All runs of each side.
        """
        found: dict[str, list[T]] = {name: [] for name in sides}
        total = self.plan.repeats * len(sides)
        for turn in range(self.plan.repeats):
            for number, (name, run) in enumerate(sides.items()):
                self.progress(Step(what, turn * len(sides) + number, total, "run"))
                found[name].append(run())
        self.progress(Step(what, total, total, "run"))
        return found


def rates(outcomes: Sequence[Outcome]) -> list[float]:
    """Return the answers with 200 a second of each run."""
    return [outcome.ok_rate for outcome in outcomes]


def middle(outcomes: Sequence[Outcome], name: str) -> float:
    """Return the median over runs of a latency."""
    return median(outcome.latency_ms.get(name, float("nan")) for outcome in outcomes)


def troubles(what: str, outcomes: Sequence[Outcome]) -> list[str]:
    """Return a note if not everything was answered with 200, else nothing."""
    bad: dict[str, int] = {}
    for outcome in outcomes:
        for status, count in outcome.statuses.items():
            if status != "200":
                bad[status] = bad.get(status, 0) + count
        for name in ("connection_errors", "unanswered"):
            if getattr(outcome, name):
                bad[name.replace("_", " ")] = bad.get(name.replace("_", " "), 0) + getattr(outcome, name)
    shown = ", ".join(f"{count:,} x {name}" for name, count in bad.items())
    return [f"{what}: not everything was answered with 200: {shown}."] if bad else []


def hit_generator() -> str:
    """Return what makes the load of hits."""
    return "wrk" if find_wrk() else "benchmarks.load"
