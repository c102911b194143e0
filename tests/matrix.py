"""What the README promises, on each Python found here: ``make matrix``.

For each Python a clean clone, a home of its own and a PATH with nothing but that Python, make and the few
programs that make needs: no Redis, no compiler. There ``make up`` has to answer the four questions and to end
without leaving anything behind; ``make lint`` and ``make test`` have to pass. Needs nothing but Python.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
QUESTIONS = ("users/1", "users/1/suggested_movies", "movies/1", "movies/1/most_similar_movies")

# What the recipes of the Makefile and the tests call, besides Python.
_PROGRAMS = ("make", "sh", "touch", "rm", "mkdir", "env", "sleep", "mount", "umount")
# How this machine reaches a package index, and what its processor needs.
_KEPT = re.compile(
    r"PIP_|OPENBLAS_|SSL_CERT_|REQUESTS_CA_BUNDLE$|MOVIELENS_DIR$|(https?|all|no)_proxy$", re.IGNORECASE
)
_LIMITS = {"install": 1200.0, "first answer": 300.0, "stop": 60.0, "lint": 900.0, "test": 5400.0}  # seconds
_LOG_LINES = 40


class StepError(Exception):
    """A step did not do what it should."""


@dataclass
class Row:
    """What came out on one Python; None for what was not reached."""

    python: str
    install_seconds: float | None = None
    answer_seconds: float | None = None
    n_answered: int | None = None
    lint_seconds: float | None = None
    tests: dict[str, int] = field(default_factory=dict)
    test_seconds: float | None = None
    trouble: str | None = None

    def cells(self) -> list[str]:
        """Return what stands in the table."""

        def seconds(value: float | None) -> str:
            return "-" if value is None else f"{value:.1f}"

        counts = [
            str(self.tests.get(kind, 0)) if self.tests else "-" for kind in ("passed", "failed", "skipped")
        ]
        answered = "-" if self.n_answered is None else f"{self.n_answered} of {len(QUESTIONS)}"
        return [
            self.python,
            seconds(self.install_seconds),
            seconds(self.answer_seconds),
            answered,
            seconds(self.lint_seconds),
            *counts,
            seconds(self.test_seconds),
            self.trouble or "ok",
        ]


HEADERS = [
    "Python",
    "install s",
    "first answer s",
    "answered",
    "lint s",
    "passed",
    "failed",
    "skipped",
    "test s",
    "",
]


def table(rows: list[Row]) -> str:
    """Return a table whose columns line up: names and remarks to the left, numbers to the right."""
    lines = [HEADERS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    last = len(HEADERS) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in {0, last} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def count_tests(output: str) -> dict[str, int]:
    """Return how many tests passed, failed and so on, as the last line of pytest says."""
    summaries = re.findall(r"^=*\s*(\d+ \w+(?:, \d+ \w+)*) in [\d.]+s", output, re.MULTILINE)
    if not summaries:
        return {}
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (\w+)", summaries[-1])}
    errors = counts.pop("errors", 0) + counts.pop("error", 0)
    return {**counts, "failed": counts.get("failed", 0) + errors}


def find_python(version: str) -> tuple[str, str] | None:
    """Return the path and the full version of an interpreter, None if there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        shutil.which(f"python{version}"),
        shutil.which("python3"),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python3"), reverse=True),
    ]
    # The interpreter itself, not a virtual environment nor a script that chooses one.
    ask = "import ensurepip, platform, sys; print(sys._base_executable, platform.python_version())"
    for candidate in candidates:
        if candidate is None:
            continue
        ended = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        path, _, found = ended.stdout.strip().rpartition(" ")
        if ended.returncode == 0 and found.startswith(f"{version}."):
            return path, found
    return None


class Checkout:
    """A place for a clean clone, with a home and a PATH of its own.

    Parameters
    ----------
    directory : Path
        Empty; everything is in there.
    python : str
        Path of the interpreter.
    """

    def __init__(self, directory: Path, python: str) -> None:
        self.directory = directory / "movierec"
        self._log = directory / "log"
        self._home = directory / "home"
        programs = directory / "bin"
        self._home.mkdir()
        programs.mkdir()
        # A script: what venv makes shall point to the interpreter, not to a link here.
        (programs / "python3").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        (programs / "python3").chmod(0o755)
        for name in _PROGRAMS:
            found = shutil.which(name)
            if found:
                (programs / name).symlink_to(found)
        self._environment = {name: value for name, value in os.environ.items() if _KEPT.match(name)}
        self._environment |= {
            "HOME": str(self._home),
            "PATH": str(programs),
            "LANG": "C.UTF-8",
            "COLUMNS": "110",
        }
        if "MOVIELENS_DIR" in self._environment:
            self._environment["MOVIELENS_DIR"] = str(Path(self._environment["MOVIELENS_DIR"]).resolve())

    def clone(self) -> None:
        """Fetch what is committed."""
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(self.directory)], check=True)

    @contextlib.contextmanager
    def make(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run make; whatever of it still runs in the end is killed."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["make", *arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            while left := self.running():  # some are in groups of their own, and may start others
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)

    def run(self, *arguments: str, limit: float) -> float:
        """Run make to its end and return how long it took (seconds)."""
        started = time.monotonic()
        with self.make(*arguments) as process:
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                raise StepError(f"make {arguments[0]} took longer than {limit:.0f} s") from None
        if code:
            raise StepError(f"make {arguments[0]} ended with {code}")
        return time.monotonic() - started

    def output(self) -> str:
        """Return what the last make printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def running(self) -> list[int]:
        """Return the processes that were started in this environment (Linux only)."""
        mark = f"HOME={self._home}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def check(checkout: Checkout, row: Row, *, quick: bool) -> None:
    """Do what a stranger would; what comes out is in the row, also if a step fails.

    Raises
    ------
    StepError
        If a step fails.
    """
    checkout.clone()
    row.install_seconds = checkout.run("install", limit=_LIMITS["install"])
    _up(checkout, row)
    row.lint_seconds = checkout.run("lint", limit=_LIMITS["lint"])
    if not quick:
        started = time.monotonic()
        try:
            checkout.run("test", limit=_LIMITS["test"])
        finally:
            row.test_seconds = time.monotonic() - started
            row.tests = count_tests(checkout.output())
        if not row.tests.get("passed"):
            raise StepError("make test ran no test")


def _up(checkout: Checkout, row: Row) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = os.environ.get("MOVIELENS_DIR")
    started = time.monotonic()
    with checkout.make("up", f"PORT={port}", *([f"DATA={Path(data).resolve()}"] if data else [])) as process:
        while _ask(port, QUESTIONS[1]) is None:
            if process.poll() is not None:
                raise StepError("make up ended before it answered")
            if time.monotonic() - started > _LIMITS["first answer"]:
                raise StepError(f"make up did not answer within {_LIMITS['first answer']:.0f} s")
            time.sleep(0.1)
        row.answer_seconds = time.monotonic() - started
        row.n_answered = sum(_ask(port, question) is not None for question in QUESTIONS)
        if row.n_answered < len(QUESTIONS):
            raise StepError("a question was not answered")
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        try:
            process.wait(_LIMITS["stop"])
        except subprocess.TimeoutExpired:
            raise StepError(f"make up did not stop within {_LIMITS['stop']:.0f} s") from None
        if "Everything is stopped." not in checkout.output():
            raise StepError("make up did not say that everything is stopped")
        left = checkout.running()
        if left:
            raise StepError(f"make up left {len(left)} processes running")


def _ask(port: int, question: str) -> bytes | None:
    """Return an answer, None if there is none yet."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/api/v1/{question}", timeout=30) as answer:
            body: bytes = answer.read()
            return body if answer.status == 200 else None  # 202: still being computed
    except (urllib.error.URLError, OSError):
        return None


def main() -> int:
    """Check each Python and print a table; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Check what the README promises, on each Python found here.")
    parser.add_argument(
        "--pythons", metavar="VERSIONS", help=f"Some of {','.join(VERSIONS)}; default: all found."
    )
    parser.add_argument("--quick", action="store_true", help="Leave out the test suite.")
    options = parser.parse_args()
    named = options.pythons.replace(",", " ").split() if options.pythons else None
    if named and not set(named) <= set(VERSIONS):
        parser.error(f"--pythons: {options.pythons} is not some of {', '.join(VERSIONS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # cleans up, as Ctrl-C does
    if not (PROJECT / ".git").exists() or shutil.which("git") is None:
        parser.error("this needs git, and a clone of the repository")
    if subprocess.run(["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, check=True).stdout:
        print("Only what is committed is checked; there is more here.", file=sys.stderr)
    rows, failed = [], False
    for version in named or VERSIONS:
        found = find_python(version)
        row = Row(found[1] if found else version)
        rows.append(row)
        if found is None:
            row.trouble = "not found here"
            failed |= named is not None
            continue
        print(f"Python {row.python} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="movierec-matrix-", ignore_cleanup_errors=True) as directory:
            checkout = Checkout(Path(directory), found[0])
            try:
                check(checkout, row, quick=options.quick)
            except StepError as error:
                row.trouble = str(error)
                failed = True
                print(*checkout.output().splitlines()[-_LOG_LINES:], sep="\n", file=sys.stderr)
    print(table(rows))
    return 1 if failed or all(row.install_seconds is None for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
