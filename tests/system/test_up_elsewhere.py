"""``movierec up`` on machines that are not like ours, and beside another one."""

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.processes import Command, wait_for
from tests.system.conftest import Up

pytestmark = pytest.mark.system


def refusal(up: Up) -> str:
    """Return the one line that it ends with."""
    assert up.process.wait(30) == 1, up.output
    up.client.close()
    (line,) = up.output.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_second_one_with_the_same_data_is_refused(up: Up, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    before = (directory / "redis" / "url").read_text(encoding="utf-8")
    line = refusal(Up(tmp_path))
    assert f"pid {up.process.pid}, since 2" in line
    assert str(directory) in line
    # And nothing of the first one has changed.
    assert (directory / "redis" / "url").read_text(encoding="utf-8") == before
    assert len(up.children()) == 6
    assert up.client.get("/api/v1/users/1/suggested_movies").status_code == 200


def test_after_a_kill_the_next_one_starts_at_once(up: Up, tmp_path: Path) -> None:
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    with Up(tmp_path) as again:  # though the last children of the first may still be about to end
        again.wait_until_up()
        assert again.client.get("/api/v1/users/1/suggested_movies").status_code == 200


def test_a_preparation_ends_with_whoever_started_it(small_files: Path, tmp_path: Path) -> None:
    up = Up(tmp_path, "--data", str(small_files))
    wait_for(lambda: "training bayes" in up.output, "it trains")
    (preparing,) = up.pids("--prepare-only")
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    up.client.close()
    wait_for(lambda: not Path(f"/proc/{preparing}").exists(), "the preparation has ended", 10)


@pytest.mark.parametrize("host", ["::1", "::", "localhost"])
def test_other_addresses(prepared: Path, tmp_path: Path, host: str) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    shutil.copytree(prepared, tmp_path / "data")
    with Up(tmp_path, "--workers", "1", "--host", host) as up:
        up.wait_until_up()
        shown = "localhost" if host == "localhost" else "[::1]"
        assert f"movierec is up:  http://{shown}:{up.port}\n" in up.output
        assert httpx.get(f"http://{shown}:{up.port}/readyz", trust_env=False).json()["ready"]


@pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu", "192.0.2.1", "2001:db8::1", "h\u00f6st..", "."])
def test_a_host_that_is_not_ours_is_named(prepared: Path, tmp_path: Path, host: str) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    by_variable = refusal(Up(tmp_path, HOST=host))
    assert "The variable HOST is " in by_variable
    assert host in by_variable
    assert "--host 127.0.0.1" in by_variable
    assert "other port" not in by_variable
    by_option = refusal(Up(tmp_path, "--host", host, HOST="127.0.0.1"))
    assert f"--host {host} is no address of this machine" in by_option
    gateway = Command("gateway", log=tmp_path / "gateway.log", HOST=host)
    assert gateway.process.wait(30) == 1
    assert gateway.output.strip() == by_variable


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", ["a?b%41 c#d", 'it\'s "a\\b" [bold]', "$(touch x)\n\u00e9\u6771;&"])
def test_everything_is_in_the_data_directory_whatever_its_name(
    prepared: Path, tmp_path: Path, name: str
) -> None:
    directory = tmp_path / name
    shutil.copytree(prepared, directory / "data")
    with Up(directory, "--workers", "1", DATA_DIR=str(directory / "data")) as up:
        up.wait_until_up()
        assert str(directory / "data" / "logs") in up.output
        before, _, after = up.output.partition("retrain:")
        _, _, ask = before.partition("try:")
        retrain, _, _ = after.partition("logs:  ")
        for command, words in ((ask, "suggested_movies"), (retrain, "/api/v1/jobs/")):
            ran = subprocess.run(
                ["sh", "-c", command.strip()], check=True, capture_output=True, encoding="utf-8"
            )
            assert words in ran.stdout
        assert shlex.quote(str(directory / "data" / "admin-token")) in retrain
        assert (directory / "data" / "redis" / "redis.log").stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in directory.iterdir()} == {"data", up.log.name}
    assert {path.name for path in (directory / "data").iterdir()} == {
        "admin-token",
        "cache",
        "logs",
        "model",
        "movierec.db",
        "redis",
    }


def test_a_folder_with_modules_of_the_same_names(small_files: Path, tmp_path: Path) -> None:
    for name in ("cli", "gateway", "shared", "worker", "redis", "rq", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'imported: {__name__}')\n", encoding="utf-8")
    with Up(tmp_path, "--data", str(small_files), "--algorithm", "svd", "--workers", "1") as up:
        up.wait_until_up()
        assert up.client.get("/api/v1/users/1/suggested_movies").status_code == 200
        wait_for(lambda: len(up.children()) == 5, "warmer and trainer run as well", 10)
