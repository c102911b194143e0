"""Breaks modules in every small way that mutmut knows, one at a time, and tells what their tests let through.

It works on a copy of the tree, and ``make mutants`` is the command: for all modules of :data:`TESTS`, or for
that which ``MODULE`` names. Lines that only log are left alone: what they say is read by people.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).parent.parent
PACKAGES = ["benchmarks", "cli", "gateway", "shared", "worker"]

TESTS = {
    "gateway/load/admission.py": ["tests/gateway/test_admission.py", "tests/gateway/test_overload.py"],
    "gateway/load/shedding.py": ["tests/gateway/test_overload.py"],
    "gateway/load/throughput.py": ["tests/gateway/test_throughput.py"],
    "gateway/rankings/answer_cache.py": ["tests/gateway/test_answer_cache.py"],
    "gateway/rankings/batching.py": ["tests/gateway/test_batching.py"],
    "gateway/rankings/cache.py": ["tests/gateway/test_ranking_cache.py", "tests/gateway/test_dispatcher.py"],
    "gateway/rankings/claims.py": ["tests/gateway/test_dispatcher.py"],
    "gateway/rankings/collecting.py": ["tests/gateway/test_dispatcher.py"],
    "gateway/rankings/dispatcher.py": ["tests/gateway/test_dispatcher.py"],
    "gateway/rankings/lost_questions.py": [
        "tests/gateway/test_lost_questions.py",
        "tests/gateway/test_dispatcher.py",
    ],
    "gateway/rankings/news.py": ["tests/gateway/test_dispatcher.py"],
    "gateway/rankings/pending.py": ["tests/gateway/test_batching.py"],
    "gateway/rankings/popularity.py": ["tests/gateway/test_popularity.py"],
    "shared/artifacts/store.py": ["tests/shared/test_artifacts.py"],
    "shared/contract/keys.py": ["tests/shared/test_keys.py"],
    "shared/rankings/claims.py": ["tests/worker/test_jobs.py", "tests/gateway/test_dispatcher.py"],
    "shared/rankings/ranking.py": ["tests/shared/test_ranking.py"],
    "shared/rankings/store.py": ["tests/gateway/test_ranking_cache.py", "tests/worker/test_jobs.py"],
    "worker/rankings.py": ["tests/worker/test_warming.py", "tests/worker/test_jobs.py"],
}
"""The fast tests of each module: those of them that start no process of ours."""

_CONFIGURATION = """
[tool.mutmut]
source_paths = [{package!r}]
only_mutate = [{module!r}]
also_copy = {others!r}
do_not_mutate_patterns = ["\\\\blog\\\\.\\\\w+\\\\("]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-m", "not processes and not system"]
pytest_add_cli_args_test_selection = {tests!r}
"""

_KILLED = {1, 3}
_TIMED_OUT = {24, -24, 36, 152, 255}
_SURVIVED = 0
_NOT_TESTED = {5, 33}


@dataclass
class Score:
    """What became of the mutants of a module.

    Attributes
    ----------
    module : str
        Its path.
    outcomes : Counter of str
        How many were ``killed``, ``survived`` and so on; one that runs into the time limit was noticed.
    survivors : list of str
        What was changed in those that survived.
    """

    module: str
    outcomes: Counter[str] = field(default_factory=Counter)
    survivors: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Part of the mutants that the tests noticed, of those that were tried."""
        noticed = self.outcomes["killed"] + self.outcomes["timed out"]
        return 100 * noticed / max(1, self.outcomes.total() - self.outcomes["not tried"])

    def __str__(self) -> str:
        told = ", ".join(f"{n} {outcome}" for outcome, n in self.outcomes.items())
        return f"{self.module:28} {self.percent:5.1f} %  ({told})"


@contextmanager
def copy_of_the_tree(module: str) -> Iterator[Path]:
    """Make a copy that is configured for one module."""
    with TemporaryDirectory(prefix="movierec-mutants-") as name:
        directory = Path(name)
        for folder in [*PACKAGES, "tests"]:
            shutil.copytree(
                PROJECT / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        package = module.partition("/")[0]
        configuration = _CONFIGURATION.format(
            package=package,
            module=module,
            others=[other for other in PACKAGES if other != package],
            tests=TESTS[module],
        )
        text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
        (directory / "pyproject.toml").write_text(text + configuration, encoding="utf-8")
        yield directory


def outcome_of(exit_code: int | None) -> str:
    """Return what an exit code of pytest, or of mutmut in its place, says of a mutant."""
    if exit_code in _KILLED:
        return "killed"
    if exit_code in _TIMED_OUT:
        return "timed out"
    if exit_code == _SURVIVED:
        return "survived"
    if exit_code in _NOT_TESTED:
        return "not tested"
    return "not tried" if exit_code is None else f"exit code {exit_code}"


def run(module: str, seconds: float) -> Score:
    """Try the mutants of a module for so long."""
    mutmut = Path(sysconfig.get_path("scripts")) / "mutmut"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with copy_of_the_tree(module) as directory:
        process = subprocess.Popen(
            [mutmut, "run", "--max-children", f"{2 * (os.cpu_count() or 1)}"],  # much of the time they wait
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            encoding="utf-8",
        )
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
        notes = directory / "mutants" / f"{module}.meta"
        if not notes.exists():
            raise SystemExit(f"mutmut has failed:\n{printed[-5000:]}")
        exit_codes: dict[str, int | None] = json.loads(notes.read_text(encoding="utf-8"))["exit_code_by_key"]
        if all(exit_code is None for exit_code in exit_codes.values()):
            raise SystemExit(f"no mutant was tried:\n{printed[-5000:]}")
        score = Score(module, Counter(map(outcome_of, exit_codes.values())))
        for name, exit_code in exit_codes.items():
            if outcome_of(exit_code) not in {"killed", "timed out", "not tried"}:
                shown = subprocess.run(
                    [mutmut, "show", name],
                    cwd=directory,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    encoding="utf-8",
                )
                score.survivors.append(shown.stdout)
    return score


def main() -> int:
    """Run the command; return 1 if a module's tests let too much through."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--minutes", type=float, default=20, help="for each module at most")
    parser.add_argument("--at-least", type=float, default=80, metavar="PERCENT", help="killed in each module")
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - set(TESTS)
    if unknown:
        parser.error(f"no tests are named for {', '.join(sorted(unknown))}")
    scores = []
    for module in arguments.modules or TESTS:
        began = time.monotonic()
        scores.append(run(module, 60 * arguments.minutes))
        for survivor in scores[-1].survivors:
            print(survivor)
        print(f"{scores[-1]}  in {time.monotonic() - began:.0f} s", flush=True)
    print("\n" + "\n".join(map(str, scores)))
    return int(any(score.percent < arguments.at_least for score in scores))


if __name__ == "__main__":
    sys.exit(main())
