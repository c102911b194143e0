"""Proxies and certificates: what is wrong is named, and is never taken for a network that is not there."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared.datasets.download import download
from shared.datasets.proxies import proxy_for
from shared.errors import ConfigurationError, DownloadError, NoNetworkError
from shared.processes.children import free_port, movierec_command
from tests.conftest import PROJECT

NAME = "ml-latest-small"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def proxy(status: int) -> Iterator[tuple[int, list[str]]]:
    """Run a proxy that refuses everything with a status."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(status)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], asked
        server.shutdown()


@pytest.mark.parametrize("variable", ["ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks5://127.0.0.1:1080",
        "socks5h://me:hunter2@127.0.0.1:1080",
        "socks4://127.0.0.1:1080",
        "magic://x",
        "http://me:hunter2@h:port",
        "http://",
        "[::1",
        "http://no-such-host.invalid:3128",
        "h\u00f6st..:80",
    ],
)
def test_a_wrong_proxy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        ConfigurationError, match=f"The proxy that {variable} names .* unset {variable}"
    ) as caught:
        download(NAME, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{free_port()}")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY names cannot be reached"):
        download(NAME, tmp_path)


def test_a_proxy_that_wants_a_password_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with proxy(407) as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:wrong@127.0.0.1:{port}")
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY names wants another user or password"):
            download(NAME, tmp_path)
    assert asked == ["files.grouplens.org:443"]


def test_a_proxy_that_lets_nothing_through_is_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shared.datasets.download._FIRST_PAUSE_SECONDS", 0.01)
    with proxy(403) as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "::1,[::1]:8080,fd00::/8,127.0.0.1/8,,localhost")
        with pytest.raises(NoNetworkError, match="403"):
            download(NAME, tmp_path)
    assert asked


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://a.example/x", None),
        ({"HTTPS_PROXY": "h:1"}, "https://a.example/x", "h:1"),
        ({"HTTPS_PROXY": "h:1"}, "http://a.example/x", None),
        ({"ALL_PROXY": "h:1"}, "http://a.example/x", "h:1"),
        ({"ALL_PROXY": "h:1", "HTTPS_PROXY": "h:2"}, "https://a.example/x", "h:2"),
        ({"https_proxy": "h:1", "HTTPS_PROXY": "h:2"}, "https://a.example/x", "h:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "h:2"}, "https://a.example/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "example"}, "https://a.example/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": ".example"}, "https://a.example/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "a.example:443"}, "https://a.example/x", "h:1"),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "*"}, "https://a.example/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "::1,fd00::/8"}, "https://a.example/x", "h:1"),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "::1"}, "http://[::1]:8080/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "[::1]"}, "http://[::1]/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "127.0.0.1:81"}, "http://127.0.0.1:81/x", None),
        ({"ALL_PROXY": "h:1", "NO_PROXY": "127.0.0.1:81"}, "http://127.0.0.1:82/x", "h:1"),
    ],
)
def test_which_proxy_is_taken(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(httpx.URL(url))
    assert (found.value if found else None) == expected


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        download(NAME, tmp_path)


def test_a_server_that_speaks_no_tls_is_no_missing_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(DownloadError) as caught:
            download(NAME, tmp_path, base_url=f"https://127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
    assert not isinstance(caught.value, NoNetworkError)


@pytest.mark.parametrize(
    "environment",
    [{"ALL_PROXY": "socks5://127.0.0.1:1080"}, {"HTTPS_PROXY": "http://h:port", "NO_PROXY": "::1"}],
)
def test_a_wrong_setting_never_leads_to_made_up_data(tmp_path: Path, environment: dict[str, str]) -> None:
    ended = subprocess.run(
        movierec_command("up", "--prepare-only"),
        check=False,
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"error: The proxy that {next(iter(environment))} names")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data" / "demo").exists()
