"""Common to all measurements: how long, on which data, and the sides in turns."""

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
    """How much to measure.

    Attributes
    ----------
    seconds : float
        Length of each run.
    repeats : int
        Number of runs of each side.
    lone : int
        Number of lone requests, and of lone jobs.
    no_op_jobs : int
        Number of no-op jobs per worker and run.
    overload_seconds : float
        Length of the run above capacity.
    many_users : bool
        Whether that run has its own data set, with enough users to request each once.
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
        Directory in which data sets are generated and kept.
    movies : sequence of int
        Numbers of movies; what does not depend on them is measured with the first.
    plan : Plan
        How much to measure.
    progress : callable
        Called with each step.
    """

    directory: Path
    movies: Sequence[int]
    plan: Plan
    progress: Progress

    @property
    def asked(self) -> range:
        """Ids of the users that are requested."""
        return range(1, ASKED_USERS + 1)

    @property
    def spare(self) -> range:
        """Ids of other users, for the first requests of a process."""
        return range(ASKED_USERS + 1, _USERS + 1)

    def data(self, movies: int) -> Path:
        """Return a prepared data directory with this number of movies."""
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
        """Show what is being measured."""
        self.progress(Step(what, 0))

    def in_turns(self, what: str, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
        """Run all sides repeatedly, one after the other, so that all see the same machine.

        Parameters
        ----------
        what : str
            Text for the progress.
        sides : mapping of str to callable
            The sides by name.

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
    """Return the answers with 200 per second of each run."""
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
    """Return the name of the load generator of hits."""
    return "wrk" if find_wrk() else "benchmarks.load"
