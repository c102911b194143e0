"""Model versions that are damaged, and a disk that has no room for one."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.services import RunningPieces, Watch, run_pieces

pytestmark = pytest.mark.system

_DISK_BYTES = 2 << 20


@dataclass(frozen=True)
class Disk:
    """The disk of the models: a small one of its own, or, where none may be mounted, a limit for files.

    Attributes
    ----------
    running : RunningPieces
        The service that stores its models there.
    mounted : bool
        Whether it is a disk of its own.
    """

    running: RunningPieces
    mounted: bool

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave room for nothing but the beginning of a version."""
        if not self.mounted:
            with self.running.orders.file_size(10_000):
                yield
            return
        models = self.running.data_dir / "model"
        filler = models / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(models).free - 20_000))
        try:
            yield
        finally:
            filler.unlink()


@pytest.fixture(scope="module")
def disk(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    directory = tmp_path_factory.mktemp("disk")
    models = directory / "data" / "model"
    models.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(models)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, check=False).returncode == 0
    try:
        with run_pieces(prepared, directory) as running:
            yield Disk(running, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(models)], check=True)


def served(running: RunningPieces) -> str:
    """Return the version that the worker serves."""
    (version,) = running.workers()
    return version


def publish_damaged(models: Path) -> str:
    """Publish a copy of the current version with one bit changed in an array, and return its name."""
    current = (models / "current").read_text(encoding="utf-8").strip()
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-svd-0badc0"
    draft = models / f".{version}.tmp"
    shutil.copytree(models / current, draft)
    manifest = json.loads((draft / "manifest.json").read_text(encoding="utf-8"))
    (draft / "manifest.json").write_text(json.dumps(manifest | {"version": version}), encoding="utf-8")
    array = max(draft.glob("*.npy"), key=lambda path: path.stat().st_size)
    damaged = bytearray(array.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    array.write_bytes(damaged)
    draft.rename(models / version)
    pointer = models / ".current.0badc0.tmp"
    pointer.write_text(f"{version}\n", encoding="utf-8")
    pointer.replace(models / "current")
    return version


def test_a_damaged_version_that_is_published(disk: Disk) -> None:
    """Nothing is lost: it is refused with a log line, the old one serves on, the next good one is taken."""
    running, watch = disk.running, Watch(disk.running)
    before = served(running)
    damaged = publish_damaged(running.data_dir / "model")

    def refused() -> list[str]:
        return [line for line in running.worker.output.splitlines() if "model refused" in line]

    (line,) = watch.until(refused, "it is refused")
    assert damaged in line
    assert before in line
    assert "checksum" in line
    answer = running.suggest(99)
    assert (answer.status_code, answer.headers["X-Model-Version"]) == (200, before)
    assert served(running) == before

    job = running.train()
    watch.until(lambda: running.client.get(job).json()["state"] == "finished", "a good one")
    watch.until(lambda: served(running) not in {before, damaged}, "the workers switched to it")
    assert not watch.wrong
    assert refused() == [line]


def ended(running: RunningPieces, job: str) -> dict[str, Any] | None:
    """Return a job that has ended, however it did."""
    found: dict[str, Any] = running.client.get(job).json()
    return found if found["ended_at"] else None


def train_in_vain(disk: Disk, watch: Watch) -> str:
    """Return the error of a training whose version finds no room, and leaves none of it."""
    models = disk.running.data_dir / "model"
    before = {path.name for path in models.iterdir()}, (models / "current").read_text(encoding="utf-8")
    with disk.full():
        job = disk.running.train()
        found = watch.until(lambda: ended(disk.running, job), "the training ends")
        after = (
            {path.name for path in models.iterdir()} - {"filler"},
            (models / "current").read_text(encoding="utf-8"),
        )
    assert found["state"] == "failed"
    assert after == before
    return str(found["error"])


def test_a_disk_that_is_full(disk: Disk) -> None:
    """Lost is the training, and its job says so; the old model serves on, and the next one is stored."""
    running, watch = disk.running, Watch(disk.running)
    error = train_in_vain(disk, watch)
    assert f"could not be stored in {running.data_dir / 'model'}" in error
    assert "The old one stays" in error
    version = running.wait_until_finished(running.train())["result"]["model_version"]
    watch.until(lambda: served(running) == version, "the workers switched to the next one")
    assert not watch.wrong


def test_a_disk_that_is_full_is_named(disk: Disk) -> None:
    """Lost is the training, as above; whoever reads the error knows what to do."""
    error = train_in_vain(disk, Watch(disk.running))
    assert ("No space left on device" if disk.mounted else "File too large") in error
