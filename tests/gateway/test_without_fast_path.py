"""FAST_PATH=false: uvicorn's own server and connections, and nothing of ours in their place."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Trained
from tests.processes import Gateway, wait_for

SITE = """\
import atexit, pathlib, sys
if 'gateway' in sys.orig_argv:
    def tell():
        names = [name for name in sys.modules if name.startswith(('gateway', 'uvicorn'))]
        pathlib.Path({path!r}).write_text('\\n'.join(names), encoding='utf-8')
    atexit.register(tell)
"""


@pytest.mark.parametrize("fast_path", ["true", "false"])
def test_the_fast_path_is_not_even_imported_when_it_is_off(
    trained: Trained, redis_url: str, tmp_path: Path, fast_path: str
) -> None:
    loaded = tmp_path / "modules"
    (tmp_path / "sitecustomize.py").write_text(SITE.format(path=str(loaded)), encoding="utf-8")
    environment = {
        "DATA_DIR": str(trained.data_dir),
        "QUEUE_URL": redis_url,
        "PYTHONPATH": f"{tmp_path}:{PROJECT}",
        "FAST_PATH": fast_path,
    }
    with Gateway(log=tmp_path / "gateway.log", **environment) as gateway:
        assert gateway.client.get("/api/v1/users/2").status_code == 200
        gateway.stop(signal.SIGINT)  # after which Python ends in good order
    modules = set(loaded.read_text(encoding="utf-8").split())
    assert {"gateway.app", "uvicorn.protocols.http.httptools_impl"} <= modules
    ours = {name for name in modules if name.startswith("gateway.fast_path")}
    assert bool(ours) == (fast_path == "true"), ours


def test_only_the_fast_path_knows_more_of_uvicorn_than_its_public_names() -> None:
    used = {
        name
        for file in (PROJECT / "gateway").rglob("*.py")
        if "fast_path" not in file.parts
        for name in re.findall(r"\b(?:uvicorn|httptools|uvloop)\.[\w.]+", file.read_text(encoding="utf-8"))
    }
    assert used == {"uvicorn.Config", "uvicorn.Server"}
    for file in (PROJECT / "gateway").rglob("*.py"):
        if "fast_path" not in file.parts and file != PROJECT / "gateway" / "server.py":
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) gateway\.fast_path", text, re.MULTILINE), file


@pytest.fixture
def plain(trained: Trained, redis_url: str, tmp_path: Path) -> Iterator[Gateway]:
    environment = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "FAST_PATH": "false"}
    with Gateway(log=tmp_path / "gateway.log", KEEP_ALIVE="1", **environment) as gateway:
        yield gateway


def test_idle_connections_are_closed_after_keep_alive(plain: Gateway) -> None:
    with closing(socket.create_connection(("127.0.0.1", plain.port), timeout=20)) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        wait_for(lambda: connection.recv(65536) == b"", "it is closed", 20)
        assert 0.5 < time.monotonic() - began < 4  # uvicorn's own is five seconds
