"""Which Redis is started, on machines with none, an old one, a broken one, and several."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ServiceError
from shared.queue.connections import connect
from shared.redis_server import binary
from shared.redis_server.binary import find_redis_server
from shared.redis_server.server import RedisServer
from tests.processes import wait_for

Install = Callable[[str, str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a program with such a script on a PATH where nothing else is."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))

    def put(name: str, script: str) -> Path:
        program = directory / name
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")


def says(version: str) -> str:
    return f'[ "$1" = --version ] && echo "{version} sha=00000000:0 malloc=libc bits=64"'


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("redis-server", "Redis server v=6.2.14"),
        ("redis-server", "Redis server v=10.0.0"),
        ("valkey-server", "Valkey server v=9.1.2"),
        ("valkey-server", "Server v=7.2.5"),
    ],
)
def test_what_is_installed_is_used(install: Install, name: str, version: str) -> None:
    installed = install(name, says(version))
    assert find_redis_server() == installed


def test_redis_comes_before_valkey(install: Install) -> None:
    install("valkey-server", says("Valkey server v=8.1.8"))
    redis_server = install("redis-server", says("Redis server v=7.0.15"))
    assert find_redis_server() == redis_server


@pytest.mark.parametrize("script", [says("Redis server v=6.0.16"), "exit 127", "echo what?"])
def test_what_is_too_old_or_broken_is_passed_over(install: Install, script: str) -> None:
    install("redis-server", script)
    valkey = install("valkey-server", says("Valkey server v=8.1.8"))
    assert find_redis_server() == valkey


def test_a_machine_without_redis_has_the_one_of_the_wheel(install: Install, tmp_path: Path) -> None:
    assert "site-packages" in find_redis_server().parts
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        with connect(server.url) as client:
            client.rpush("from", "job")
            assert client.lmove("from", "to", "LEFT", "RIGHT") == b"job"
            assert client.eval("return redis.call('LLEN', KEYS[1])", 1, "to") == 1
            assert client.config_get("appendonly") == {"appendonly": "yes"}
    finally:
        server.stop()


def test_what_one_server_wrote_another_can_read(tmp_path: Path) -> None:
    """A snapshot at the start of the file would be readable by its own kind only, and newer ones."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        with connect(server.url) as client:
            client.rpush("queue", "job")
            client.bgrewriteaof()
            wait_for(
                lambda: client.info("persistence")["aof_last_rewrite_time_sec"] >= 0,
                "the file is written anew",
            )
    finally:
        server.stop()
    files = [path for path in (tmp_path / "redis").rglob("*.aof") if b"job" in path.read_bytes()]
    assert [path.read_bytes()[:1] for path in files] == [b"*"]
    assert not list((tmp_path / "redis").rglob("*.rdb"))


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("tool", "advice"),
    [
        ("apt-get", "apt-get install redis-server"),
        ("dnf", "dnf install valkey"),
        ("brew", "brew install valkey"),
    ],
)
def test_where_there_is_none_it_is_said_how_to_get_one(install: Install, tool: str, advice: str) -> None:
    install(tool, "exit 1")
    old = install("redis-server", says("Redis server v=6.0.16"))
    with pytest.raises(ServiceError) as caught:
        find_redis_server()
    message = str(caught.value)
    assert "\n" not in message
    assert advice in message
    assert f"{old} is 6.0" in message
    assert "QUEUE_URL" in message
