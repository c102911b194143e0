"""Processor time and memory of processes, as counted by the kernel (Linux only)."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from benchmarks.load.contract import Outcome

T = TypeVar("T")

_TICKS = os.sysconf("SC_CLK_TCK")
_SATURATED = 0.9
"""Share of a core from which a process counts as always busy."""

GENERATOR = "generator"


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    """Return the memory of a process that is in RAM, shared pages included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy_seconds() -> float:
    """Return the processor time of everything on this machine, including time stolen by a hypervisor."""
    fields = [
        int(field) for field in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    ]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = fields
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS


class Usage:
    """Processor time of each process over all runs of one kind.

    Parameters
    ----------
    what : str
        Name of the kind.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._seconds = 0.0
        self._used: defaultdict[str, float] = defaultdict(float)
        self._all_seconds = 0.0  # with the start of the generator
        self._all_used = 0.0

    def load(self, pids: Mapping[str, int], run: Callable[[], Outcome]) -> Outcome:
        """Make load and record the processor time of each process."""
        outcome = self.work(pids, run, lambda outcome: outcome.elapsed_seconds)
        self._used[GENERATOR] += outcome.cpu_seconds
        return outcome

    def work(
        self, pids: Mapping[str, int], run: Callable[[], T], seconds: Callable[[T], float] | None = None
    ) -> T:
        """Call a function and record the processor time of each process.

        Parameters
        ----------
        pids : mapping of str to int
            Processes by name.
        run : callable
            The function.
        seconds : callable or None
            Returns from the result how long the processes had work; None: the whole time.
        """
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        busy, started = busy_seconds(), time.perf_counter()
        result = run()
        elapsed = time.perf_counter() - started
        self._all_seconds += elapsed
        self._all_used += busy_seconds() - busy
        self._seconds += elapsed if seconds is None else seconds(result)
        for name, pid in pids.items():
            self._used[name] += cpu_seconds(pid) - before[name]
        return result

    @property
    def cores(self) -> dict[str, float]:
        """Number of cores that each process used."""
        return {name: used / self._seconds for name, used in self._used.items()}

    def note(self) -> str:
        """Return a line that says which processes were busy, and so what the limit was."""
        cores = self.cores
        others = max(0.0, (self._all_used - sum(self._used.values())) / self._all_seconds)
        shares = sorted(cores.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {share:.2f}" for name, share in [*shares, ("all else", others)])
        full = [name for name, share in shares if share >= _SATURATED]
        n_cores = len(os.sched_getaffinity(0))
        if full:
            limit = " and ".join(full)
        elif sum(cores.values()) + others >= _SATURATED * n_cores:
            limit = f"the {n_cores} cores, shared by all"
        else:
            limit = "nobody's processor time"
        return f"{self._what}: cores in use: {shown}; the limit: {limit}."
