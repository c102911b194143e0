"""The train command: interrupted, limited in time."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.processes import Command, wait_for

pytestmark = pytest.mark.system


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def test_an_interrupt_stops_at_once_and_leaves_the_old_model(data_dir: Path, tmp_path: Path) -> None:
    before = (data_dir / "model" / "current").read_text()
    command = Command("train", "-a", "bayes", "-p", "n_sweeps=10000", log=tmp_path / "train.log")
    wait_for(lambda: "training bayes 1/" in command.output, "sweeps have begun")
    started = time.monotonic()
    assert command.stop(signal.SIGINT) == 130
    assert time.monotonic() - started < 3
    assert "Traceback" not in command.output
    assert (data_dir / "model" / "current").read_text() == before
    assert {path.name for path in (data_dir / "model").iterdir()} == {"current", before.strip()}


def test_a_training_can_be_limited_in_time(data_dir: Path, tmp_path: Path) -> None:
    arguments = ("train", "-a", "bayes", "-p", "n_sweeps=10000", "--max-seconds", "2")
    command = Command(*arguments, log=tmp_path / "train.log")
    assert command.process.wait(60) == 0, command.output
    version = (data_dir / "model" / "current").read_text().strip()
    assert version in command.output
    assert "-bayes-" in version


@pytest.mark.parametrize(
    "parameter",
    [
        "n_sweeps",
        "n_sweeps=none",
        "n_magic=3",
        "n_factors=0",
        "max_seconds=1e309",
        "tolerance=nan",
        "burn_in=200",
    ],
)
def test_parameters_that_are_wrong(data_dir: Path, tmp_path: Path, parameter: str) -> None:
    command = Command("train", "-a", "bayes", "-p", parameter, log=tmp_path / "train.log")
    assert command.process.wait(30) == 1
    assert "error: " in command.output
    assert parameter.partition("=")[0] in command.output
    assert "Traceback" not in command.output
