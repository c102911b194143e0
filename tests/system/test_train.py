"""The train command: interrupted, limited in time, one at a time."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.processes import Command, wait_for
from tests.system.services import QUICK_TRAINING, run_pieces

pytestmark = pytest.mark.system


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def test_an_interrupt_stops_at_once_and_leaves_the_old_model(data_dir: Path, tmp_path: Path) -> None:
    before = (data_dir / "model" / "current").read_text(encoding="utf-8")
    command = Command("train", "-a", "bayes", "-p", "n_sweeps=10000", log=tmp_path / "train.log")
    wait_for(lambda: "training bayes 1/" in command.output, "sweeps have begun")
    started = time.monotonic()
    assert command.stop(signal.SIGINT) == 130
    assert time.monotonic() - started < 3
    assert "Traceback" not in command.output
    assert (data_dir / "model" / "current").read_text(encoding="utf-8") == before
    assert {path.name for path in (data_dir / "model").iterdir()} == {"current", before.strip()}


def test_a_training_can_be_limited_in_time(data_dir: Path, tmp_path: Path) -> None:
    arguments = ("train", "-a", "bayes", "-p", "n_sweeps=10000", "--max-seconds", "2")
    command = Command(*arguments, log=tmp_path / "train.log")
    assert command.process.wait(60) == 0, command.output
    version = (data_dir / "model" / "current").read_text(encoding="utf-8").strip()
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


def test_a_second_training_is_told_who_trains(data_dir: Path, tmp_path: Path) -> None:
    first = Command("train", "-a", "bayes", "-p", "n_sweeps=10000", log=tmp_path / "first.log")
    wait_for(lambda: "training bayes 1/" in first.output, "sweeps have begun")
    second = Command("train", "-a", "svd", log=tmp_path / "second.log")
    assert second.process.wait(30) == 1
    (line,) = second.output.splitlines()
    assert line.startswith("error: Another training for ")
    assert f"pid {first.process.pid}, since 2" in line
    first.process.kill()
    first.process.wait()
    third = Command("train", "-a", "svd", log=tmp_path / "third.log")
    assert third.process.wait(60) == 0, third.output
    assert "-svd-" in (data_dir / "model" / "current").read_text(encoding="utf-8")


def test_an_accepted_training_waits_for_one_by_hand(prepared: Path, tmp_path: Path) -> None:
    with run_pieces(prepared, tmp_path) as running:
        arguments = ("train", "-a", "bayes", "-p", "n_sweeps=10000")
        by_hand = Command(*arguments, log=tmp_path / "train.log", DATA_DIR=str(running.data_dir))
        wait_for(lambda: "training bayes 1/" in by_hand.output, "sweeps have begun")
        job = running.client.post("/api/v1/models", json=QUICK_TRAINING, headers=running.token).headers[
            "Location"
        ]
        wanted = f"waiting for another training (pid {by_hand.process.pid}"
        wait_for(
            lambda: wanted in ((running.client.get(job).json()["progress"] or {}).get("phase") or ""),
            "it says whom it waits for",
        )
        assert by_hand.stop(signal.SIGINT) == 130
        wait_for(lambda: running.client.get(job).json()["state"] == "finished", "the training is done")
