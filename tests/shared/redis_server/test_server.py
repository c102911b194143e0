"""The embedded Redis: whose directory it is, strange paths, and files that are damaged."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import BusyError, ServiceError
from shared.queue.connections import connect
from shared.redis_server.append_only_file import find_damage, require_manifest
from shared.redis_server.server import RedisServer
from tests.conftest import PROJECT
from tests.processes import wait_for

KEPT = 50


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the directory of a Redis that was stopped, with keys in an RDB part and a tail of commands."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    with connect(server.url) as client:
        for number in range(KEPT):
            client.hset(f"base:{number}", mapping={"number": number, "text": "x" * 80})
        client.config_set("aof-use-rdb-preamble", "yes")  # as earlier versions of ours wrote it
        client.bgrewriteaof()
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file is rewritten")
        for number in range(KEPT):
            client.set(f"tail:{number}", "y" * 80)
    server.stop()
    return server.directory


def written(directory: Path) -> list[Path]:
    """Return the files with the data: base and tail are one before Redis 7."""
    return sorted(path for path in directory.glob("appendonly*/*") if "manifest" not in path.name) or [
        directory / "appendonly.aof"
    ]


@pytest.fixture
def server(directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(directory)
    yield server
    server.stop()


def keys(server: RedisServer) -> int:
    with connect(server.url) as client:
        assert client.set("writes", "work")
        client.delete("writes")
        return int(client.dbsize())


def overwrite(path: Path, at: float, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(round(path.stat().st_size * at))
        file.write(content)


def test_what_was_written_is_there_again(server: RedisServer) -> None:
    server.start()
    assert keys(server) == 2 * KEPT


@pytest.mark.parametrize("damage", ["head", "middle of the base", "base cut", "unknown command", "no length"])
def test_a_damaged_file_is_set_aside(
    server: RedisServer, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    base, tail = written(server.directory)[0], written(server.directory)[-1]
    if damage == "head":
        overwrite(base, 0, b"\0garbage")
    elif damage == "middle of the base":
        overwrite(base, 0.1, os.urandom(64))
    elif damage == "base cut":
        os.truncate(base, 100)
    elif damage == "unknown command":
        with tail.open("ab") as file:
            file.write(b"*1\r\n$7\r\nNOTHING\r\n")
    else:
        with tail.open("ab") as file:
            file.write(b"*1\r\n*7\r\nNOTHING\r\n")
    damaged = base.read_bytes()
    server.start()
    assert keys(server) == 0
    (line,) = capfd.readouterr().err.splitlines()
    (aside,) = server.directory.glob("*.damaged-*")
    assert str(aside) in line
    assert "trainings that waited in it are lost" in line
    assert "check-aof" not in line  # a program that is not there
    kept = aside / base.name if aside.is_dir() else aside
    assert kept.read_bytes() == damaged
    server.stop()
    server.start()  # and nothing is wrong with the new one
    assert keys(server) == 0
    assert capfd.readouterr().err == ""


def test_an_end_that_is_missing_is_no_damage(server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    tail = written(server.directory)[-1]
    os.truncate(tail, tail.stat().st_size - 10)
    server.start()
    assert keys(server) == 2 * KEPT - 1
    assert capfd.readouterr().err == ""


def test_another_cause_is_reported_and_nothing_is_moved(server: RedisServer) -> None:
    file = written(server.directory)[-1]
    file.rename(file.with_name("kept"))
    file.mkdir()  # as good as a file that may not be read; root may read all
    with pytest.raises(ServiceError, match=r"(?s)did not start:.*Is a directory"):
        server.start()
    assert file.is_dir()
    assert not list(server.directory.glob("*.damaged-*"))
    assert not (server.directory / "redis.lock").exists()


@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        ("# Bad file format reading the append only file x.aof: make a backup of your AOF file, then", True),
        ("# Unexpected end of file reading the append only file. You can: 1) Make a backup", True),
        ("# Error reading the append only file x.incr.aof, error: unknown command 'NOTHING', with", True),
        ("# Internal error in RDB reading offset 0, function at rdb.c:415 -> Invalid LZF string", True),
        ("# Wrong RDB checksum expected: (1) but got (2). Aborting now.", True),
        ("# Wrong signature trying to load DB from file", True),
        ("*** FATAL AOF MANIFEST FILE ERROR ***", True),
        ("# Found an empty AOF manifest", True),
        ("# The AOF manifest file contains too long line", True),
        ("# Invalid AOF manifest file format", True),
        ("# Unable to obtain the AOF file x.base.rdb length. stat: No such file or directory", True),
        ("# The AOF file x.base.rdb doesn't exist", True),
        ("# Can't open the append-only file: Permission denied", False),
        ("# Unrecoverable error reading the append only file x.aof: Input/output error", False),
        ("# Can't handle RDB format version 80\n1:M 1 Jan 2026 0:0 # Internal error in RDB reading", False),
        ("# Could not create server TCP listening socket 127.0.0.1:6379: bind: Address in use", False),
    ],
)
def test_what_redis_and_valkey_say_of_damage(tmp_path: Path, line: str, damaged: bool) -> None:
    log, before = tmp_path / "log", b"1:M 1 Jan 2026 00:00:00.000 # Found an empty AOF manifest\n"
    time = "" if line.startswith("***") else "1:M 25 Nov 2026 13:50:56.337 "
    log.write_bytes(before + f"{time}{line}\n".encode())
    found = find_damage(log, len(before))
    assert (found is not None) == damaged
    assert found is None or not found.startswith(("1:M", "#"))


def test_files_without_their_list_are_damaged(tmp_path: Path) -> None:
    require_manifest(tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    require_manifest(tmp_path)
    (tmp_path / "appendonlydir" / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS")
    with pytest.raises(ServiceError, match="manifest is missing"):
        require_manifest(tmp_path)
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_bytes(b"")
    require_manifest(tmp_path)


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "a b", "a'b", "a\nrequirepass x", "a\nb", "a#b", "a%b", "\u00e9"]
)
def test_its_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = RedisServer(tmp_path / name / "redis")
    server.start()
    assert keys(server) == 0
    server.stop()
    assert (tmp_path / name / "redis" / "redis.log").stat().st_size
    assert written(tmp_path / name / "redis")[0].exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_directory_is_of_one_at_a_time(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.redis_server.server.STOP_SECONDS", 0.0)
    server.start()
    other = RedisServer(server.directory)
    url = (server.directory / "url").read_text(encoding="utf-8")
    with pytest.raises(BusyError, match=f"pid {server.pid}, since"):
        other.start()
    other.stop()
    assert (server.directory / "url").read_text(encoding="utf-8") == url
    assert keys(server) == 2 * KEPT


def test_a_redis_that_outlives_its_parent_is_waited_for(server: RedisServer) -> None:
    """Freeze it, so that it does not end with its parent, and then let it go on."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom shared.redis_server.server import RedisServer\n"
        "server = RedisServer(Path(sys.argv[1]))\nserver.start()\nprint(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    arguments = [sys.executable, "-c", program, str(server.directory)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
    told: list[str] = []

    def tell(holder: str) -> None:
        told.append(holder)
        os.kill(pid, signal.SIGCONT)

    server._tell_who_is_waited_for = tell  # type: ignore[method-assign]
    server.start()
    assert f"pid {pid}, since" in told[0]
    assert keys(server) == 2 * KEPT
