import hashlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.datasets import download as download_module
from shared.datasets.download import DATASETS, dataset_url, download
from shared.datasets.formats import read_dataset
from shared.errors import DownloadError
from shared.progress import Step

from .conftest import MOVIES_CSV, RATINGS_CSV

_NAME = "ml-latest-small"


def _zip(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


_ARCHIVE = _zip(
    {
        f"{_NAME}/movies.csv": MOVIES_CSV,
        f"{_NAME}/ratings.csv": RATINGS_CSV,
        f"{_NAME}/README.txt": "read me",
        f"{_NAME}/run.sh": "echo no",
        "__MACOSX/._movies.csv": "junk",
    }
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that has seen enough hangs up."""


@dataclass
class Site:
    """What the server gives, and what it was asked."""

    url: str = ""
    archive: bytes = _ARCHIVE
    md5: str | None = None
    status: int = 200
    ranges: bool = True
    # Connections that are cut in the middle, and how often it answers 503, before it behaves.
    cuts: int = 0
    refusals: int = 0
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download_module, "_FIRST_PAUSE_SECONDS", 0.01)
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.requests.append((self.path, asked))
            if self.path.endswith(".md5"):
                stated = site.md5
                return self.answer(200 if stated else 404, (stated or "no").encode())
            if site.refusals:
                site.refusals -= 1
                return self.answer(503, b"")
            if site.status != 200:
                return self.answer(site.status, b"no")
            if asked is None or not site.ranges:
                return self.answer(200, site.archive)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            size = len(site.archive)
            if start >= size:
                return self.answer(416, b"", f"bytes */{size}")
            return self.answer(206, site.archive[start:], f"bytes {start}-{size - 1}/{size}")

        def answer(self, status: int, body: bytes, content_range: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            if site.cuts and status in (200, 206) and self.path.endswith(".zip"):
                site.cuts -= 1
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                return
            self.wfile.write(body)

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()


def _left(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_data_set_is_fetched_and_only_data_files_are_unpacked(site: Site, tmp_path: Path) -> None:
    steps: list[Step] = []
    path = download(_NAME, tmp_path / "new" / "data", base_url=site.url + "/", progress=steps.append)
    assert path == tmp_path / "new" / "data" / _NAME
    assert _left(path) == {"movies.csv", "ratings.csv", "README.txt"}
    assert _left(path.parent) == {_NAME}
    assert len(read_dataset(path).ratings) == 3
    assert site.requests[0] == (f"/{_NAME}.zip", None)
    received = [step for step in steps if step.unit == "byte"]
    assert received[-1] == Step(f"downloading {_NAME}", len(_ARCHIVE), len(_ARCHIVE), "byte")


def test_a_data_set_that_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    first = download(_NAME, tmp_path, base_url=site.url)
    asked = len(site.requests)
    assert download(_NAME, tmp_path, base_url=site.url) == first
    assert len(site.requests) == asked


def test_ml_10m_has_another_folder_inside(site: Site, tmp_path: Path) -> None:
    site.archive = _zip({"ml-10M100K/movies.dat": "1::A::Drama\n", "ml-10M100K/ratings.dat": "1::1::4::5\n"})
    assert _left(download("ml-10m", tmp_path, base_url=site.url)) == {"movies.dat", "ratings.dat"}


def test_a_partial_file_is_resumed(site: Site, tmp_path: Path) -> None:
    (tmp_path / f"{_NAME}.zip.part").write_bytes(_ARCHIVE[:100])
    site.md5 = f"MD5 ({_NAME}.zip) = {hashlib.md5(_ARCHIVE).hexdigest()}\n"
    download(_NAME, tmp_path, base_url=site.url)
    assert site.requests == [(f"/{_NAME}.zip", "bytes=100-"), (f"/{_NAME}.zip.md5", None)]
    assert _left(tmp_path) == {_NAME}


def test_a_cut_connection_is_resumed(site: Site, tmp_path: Path) -> None:
    site.cuts = 6
    download(_NAME, tmp_path, base_url=site.url)
    asked = [wanted for path, wanted in site.requests if path.endswith(".zip")]
    assert asked[:2] == [None, f"bytes={len(_ARCHIVE) // 2}-"]
    assert len(asked) == 7


def test_a_server_without_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.cuts = 2
    (tmp_path / f"{_NAME}.zip.part").write_bytes(b"old bytes")
    download(_NAME, tmp_path, base_url=site.url)
    assert len(read_dataset(tmp_path / _NAME).ratings) == 3


def test_a_server_that_always_cuts_is_given_up(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.cuts = 1_000
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.*Check the network"):
        download(_NAME, tmp_path, base_url=site.url)
    assert len(site.requests) < 8


def test_a_partial_file_that_is_complete_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / f"{_NAME}.zip.part").write_bytes(_ARCHIVE)
    download(_NAME, tmp_path, base_url=site.url)
    assert [wanted for path, wanted in site.requests if path.endswith(".zip")] == [f"bytes={len(_ARCHIVE)}-"]


@pytest.mark.parametrize("rest", [b"x" * 5_000, b"x" * 50])
def test_a_partial_file_of_another_archive_is_replaced(site: Site, tmp_path: Path, rest: bytes) -> None:
    (tmp_path / f"{_NAME}.zip.part").write_bytes(rest)
    site.md5 = hashlib.md5(_ARCHIVE).hexdigest()
    download(_NAME, tmp_path, base_url=site.url)
    assert _left(tmp_path) == {_NAME}


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.refusals = 2
    download(_NAME, tmp_path, base_url=site.url)
    site.refusals = 1_000
    with pytest.raises(DownloadError, match="the server answered 503"):
        download("ml-1m", tmp_path, base_url=site.url)


def test_a_wrong_md5_is_refused(site: Site, tmp_path: Path) -> None:
    site.md5 = "0" * 32
    with pytest.raises(DownloadError, match=f"damaged: its MD5 is .* instead of {'0' * 32}"):
        download(_NAME, tmp_path, base_url=site.url)
    assert _left(tmp_path) == set()


def _damaged() -> bytes:
    damaged = bytearray(_ARCHIVE)
    at = damaged.index(b"movies.csv") + 14
    damaged[at : at + 8] = b"\0" * 8
    return bytes(damaged)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (_damaged(), "damaged"),
        (_ARCHIVE[:-40], "damaged"),
        (b"<html>not a zip</html>", "damaged"),
        (_zip({f"{_NAME}/README.txt": "nothing else"}), "holds no MovieLens data set"),
        (_zip({"../movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV}), "names a path outside itself"),
        (_zip({"/etc/movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV}), "names a path outside itself"),
        (
            _zip({"a\\..\\..\\movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV}),
            "names a path outside itself",
        ),
    ],
    ids=["flipped bytes", "cut off", "no zip", "no data", "dot dot", "absolute", "backslashes"],
)
def test_a_bad_archive_leaves_nothing_behind(
    site: Site, tmp_path: Path, archive: bytes, message: str
) -> None:
    site.archive = archive
    directory = tmp_path / "data"
    with pytest.raises(DownloadError, match=message):
        download(_NAME, directory, base_url=site.url)
    assert _left(directory) == set()
    assert _left(tmp_path) == {"data"}


def test_not_found_says_where(site: Site, tmp_path: Path) -> None:
    site.status = 404
    with pytest.raises(DownloadError, match=f"answered 404 for {site.url}/{_NAME}.zip"):
        download(_NAME, tmp_path, base_url=site.url)
    assert len(site.requests) == 1


def test_a_refused_connection_fails_soon(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(DownloadError, match="Check the network"):
            download(_NAME, tmp_path, base_url=f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 5


def test_an_unknown_host_fails_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"no-such-host\.invalid.*Check the network"):
        download(_NAME, tmp_path, base_url="http://no-such-host.invalid")
    assert time.monotonic() - began < 8


def test_a_silent_resolver_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(download_module, "_RESOLVE_SECONDS", 0.05)
    monkeypatch.setattr(download_module, "proxy_for", lambda url: None)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer.wait(10))
    with pytest.raises(DownloadError, match=r"cannot find the server example\.org: no answer"):
        download(_NAME, tmp_path, base_url="http://example.org")
    answer.set()


@pytest.mark.parametrize("base_url", ["ftp://example.org", "http://[broken", "nowhere"])
def test_a_base_url_that_is_none_is_refused(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(DownloadError):
        download(_NAME, tmp_path, base_url=base_url)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"no data set 'ml-21m'. Choose one of ml-100k, ml-1m, .*ml-latest"
    ):
        download("ml-21m", tmp_path)


def test_a_full_target_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / _NAME).mkdir()
    (tmp_path / _NAME / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(DownloadError, match="is there but is no data set"):
        download(_NAME, tmp_path, base_url=site.url)
    assert _left(tmp_path / _NAME) == {"mine.txt"}
    (tmp_path / _NAME / "mine.txt").unlink()
    download(_NAME, tmp_path, base_url=site.url)


def test_a_directory_that_cannot_be_written_is_an_error_of_ours(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DownloadError, match="cannot write to"):
        download(_NAME, tmp_path / "file", base_url=site.url)


def test_every_known_data_set_has_an_address_and_a_note() -> None:
    assert dataset_url("ml-20m") == "https://files.grouplens.org/datasets/movielens/ml-20m.zip"
    assert "20,000,263 ratings of 27,278 movies by 138,493 users" in DATASETS["ml-20m"].note
