"""The check of all Pythons itself, and that all places name the same ones."""

import re
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests import matrix
from tests.conftest import PROJECT
from tests.processes import alive, wait_for


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("217 passed in 312.04s (0:05:12)", {"passed": 217, "failed": 0}),
        ("== 1 failed, 2 passed, 3 skipped, 1 error in 0.12s ==", {"failed": 2, "passed": 2, "skipped": 3}),
        ("1 passed in 0.1s\nFAILED a - 9 passed in vain\n2 passed in 0.2s\n", {"passed": 2, "failed": 0}),
        ("make: *** [Makefile:30: test] Error 1", {}),
    ],
)
def test_what_pytest_says_is_counted(output: str, counts: dict[str, int]) -> None:
    assert matrix.count_tests(output) == counts


def test_the_table_lines_up() -> None:
    rows = [
        matrix.Row("3.11.7", 1234.5, 7.0, 4, 30.0, {"passed": 217, "failed": 10, "skipped": 3}, 312.0),
        matrix.Row("3.14", trouble="not found here"),
    ]
    head, first, second = matrix.table(rows).splitlines()
    for header in matrix.HEADERS[1:-1]:
        end = head.index(header) + len(header)
        for line in (first, second):
            assert line[end - 1] != " "
            assert line[end : end + 2] == "  "
    assert first.endswith("  ok")
    assert second.endswith("  not found here")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_is_left_running_is_found_and_killed(tmp_path: Path) -> None:
    checkout = matrix.Checkout(tmp_path, sys.executable)
    checkout.directory.mkdir()
    (checkout.directory / "Makefile").write_text("leave:\n\t@sleep 60 >/dev/null 2>&1 &\n")
    with checkout.make("leave") as process:
        assert process.wait(10) == 0
        (left,) = wait_for(checkout.running, "it runs")
    assert not alive(left)
    assert not checkout.running()


def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    checkout = matrix.Checkout(tmp_path, sys.executable)
    checkout.directory.mkdir()
    (checkout.directory / "Makefile").write_text("hang:\n\t@echo begun; sleep 60\n")
    started = time.monotonic()
    with pytest.raises(matrix.StepError, match="longer than"):
        checkout.run("hang", limit=0.5)
    assert time.monotonic() - started < 10
    assert checkout.output() == "begun\n"


def test_no_redis_is_on_the_clean_path(tmp_path: Path) -> None:
    checkout = matrix.Checkout(tmp_path, sys.executable)
    checkout.directory.mkdir()
    (checkout.directory / "Makefile").write_text(
        "look:\n\t@for name in python3 redis-server valkey-server cc gcc; do command -v $$name; done; true\n"
    )
    checkout.run("look", limit=10)
    assert checkout.output() == f"{tmp_path / 'bin' / 'python3'}\n"


def test_all_places_name_the_same_pythons() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    first, last = (int(version.removeprefix("3.")) for version in (matrix.VERSIONS[0], matrix.VERSIONS[-1]))
    assert tuple(f"3.{minor}" for minor in range(first, last + 1)) == matrix.VERSIONS
    assert project["project"]["requires-python"] == f">=3.{first},<3.{last + 1}"
    assert project["tool"]["mypy"]["python_version"] == f"3.{first}"
    assert f"(3, {first}) <= sys.version_info[:2] < (3, {last + 1})" in (PROJECT / "Makefile").read_text()
    assert f"Python 3.{first} to 3.{last}" in (PROJECT / "README.md").read_text()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_package_has_one_version_on_all_pythons(name: str) -> None:
    lines = [
        line for line in (PROJECT / name).read_text().splitlines() if re.match(r"\S", line) and line[0] != "#"
    ]
    packages = [re.fullmatch(r"([a-z0-9.-]+)==[\w.]+(?: ; .+)? \\", line) for line in lines]
    assert None not in packages, "anything but a version of a package, such as an address"
    found = [package[1] for package in packages if package]
    assert len(set(found)) == len(found) > 50
