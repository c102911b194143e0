"""A program that cannot be written and a user without a home."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import caches
from shared.datasets.generate import generate
from shared.processes.children import movierec_command
from tests.conftest import PROJECT

STRANGER = 12345
VARIABLES = ("NUMBA_CACHE_DIR", "SURPRISE_DATA_FOLDER", "MPLCONFIGDIR")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def as_a_stranger(tmp_path: Path) -> list[str]:
    """Return how to start somebody who may read everything and write nothing but the working directory."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is missing")
    os.chown(tmp_path, STRANGER, STRANGER)
    user = [f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    return ["setpriv", *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("installation")
    for package in ("cli", "gateway", "shared", "worker"):
        shutil.copytree(PROJECT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("home", ["/nonexistent", None])
def test_training_and_plots_without_a_home(
    tmp_path: Path, as_a_stranger: list[str], installation: Path, home: str | None
) -> None:
    generate(tmp_path / "tiny", n_ratings=2_000, n_users=60, n_movies=150)
    environment = {**os.environ, "PYTHONPATH": str(installation), "HOME": home or ""}
    if home is None:
        del environment["HOME"]

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [*as_a_stranger, *movierec_command(*arguments)],
            check=False,
            capture_output=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=environment,
        )
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout + ended.stderr

    assert "svd" in run("train", "--data", "tiny", "-a", "svd", "-p", "n_epochs=1")
    assert "bayes" in run("train", "-a", "bayes", "-p", "n_sweeps=3", "-p", "burn_in=1")
    run("explore", "movies")
    assert list((tmp_path / "data" / "cache" / "numba").rglob("gibbs*"))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "results", "tiny"}


def test_what_is_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    caches.keep_caches_in_data_dir()
    assert os.environ["MPLCONFIGDIR"] == "/mine"
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "data" / "cache" / "numba")
    assert not (tmp_path / "data").exists()  # nothing is made before it is needed


def test_where_the_data_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("DATA_DIR", "file/data")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caches.keep_caches_in_data_dir()
    ours = tmp_path / f"movierec-{os.getuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == str(ours / "numba")
    assert ours.stat().st_mode & 0o777 == 0o700


def test_a_temporary_directory_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("DATA_DIR", "file/data")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ours = tmp_path / f"movierec-{os.getuid()}"
    ours.mkdir(mode=0o777)
    ours.chmod(0o777)
    caches.keep_caches_in_data_dir()
    chosen = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert chosen != ours
    assert chosen.stat().st_mode & 0o777 == 0o700
