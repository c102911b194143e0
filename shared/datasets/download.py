"""Downloads MovieLens data sets from GroupLens."""

import re
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.datasets.layouts import find_dataset
from shared.datasets.proxies import is_certificate_failure, open_client, proxy_for
from shared.datasets.unpack import check_md5, unpack
from shared.errors import DownloadError, NoNetworkError
from shared.progress import Progress, Step, silent

BASE_URL = "https://files.grouplens.org/datasets/movielens"

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_RESOLVE_SECONDS = 4.0
_MAX_FAILURES = 4
_FIRST_PAUSE_SECONDS = 0.5
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")
_TOTAL = re.compile(r"bytes \*/([0-9]+)")
_START = re.compile(r"bytes ([0-9]+)-")


@dataclass(frozen=True)
class KnownDataset:
    """A data set that can be fetched by name.

    Attributes
    ----------
    n_ratings, n_users, n_movies : int
        As GroupLens states them; the two that are called latest change from time to time.
    megabytes : int
        Size of the archive.
    """

    n_ratings: int
    n_users: int
    n_movies: int
    megabytes: int

    @property
    def note(self) -> str:
        """One line for a list of data sets."""
        return (
            f"{self.n_ratings:,} ratings of {self.n_movies:,} movies by {self.n_users:,} users, "
            f"{self.megabytes} MB to download"
        )


DATASETS: dict[str, KnownDataset] = {
    "ml-100k": KnownDataset(100_000, 943, 1_682, 5),
    "ml-1m": KnownDataset(1_000_209, 6_040, 3_883, 6),
    "ml-10m": KnownDataset(10_000_054, 69_878, 10_681, 63),
    "ml-20m": KnownDataset(20_000_263, 138_493, 27_278, 190),
    "ml-25m": KnownDataset(25_000_095, 162_541, 62_423, 250),
    "ml-32m": KnownDataset(32_000_204, 200_948, 87_585, 239),
    "ml-latest-small": KnownDataset(100_836, 610, 9_742, 1),
    "ml-latest": KnownDataset(33_832_162, 330_975, 86_537, 335),
}
"""What GroupLens offers, by the name of its archive."""


class _Transient(Exception):
    """A failure that may pass."""


def dataset_url(name: str, base_url: str = BASE_URL) -> str:
    """Return the address of a data set's archive."""
    return f"{base_url.rstrip('/')}/{name}.zip"


def download(name: str, directory: Path, *, base_url: str = BASE_URL, progress: Progress = silent) -> Path:
    """Fetch and unpack a data set, unless it is there already.

    An interrupted download goes on where it stopped. The archive is checked against the MD5 that the server
    states, and each file against the check sum in the archive.

    Parameters
    ----------
    name : str
        One of :data:`DATASETS`.
    directory : Path
        Made if need be.
    base_url : str
        Where the archives lie.
    progress : Progress
        Told the bytes received.

    Returns
    -------
    Path
        ``directory / name``, which holds the files.

    Raises
    ------
    NoNetworkError
        When the server cannot be reached.
    ConfigurationError
        When a proxy or certificates of the environment are to blame.
    DownloadError
        When the name is unknown, the server has no such file, the archive is damaged, or the directory cannot
        be written.
    """
    if name not in DATASETS:
        raise DownloadError(f"there is no data set {name!r}. Choose one of {', '.join(DATASETS)}.")
    target = directory / name
    if find_dataset(target) is not None:
        return target
    url = dataset_url(name, base_url)
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise DownloadError(
                f"{target} is there but is no data set. Remove it, or name another directory."
            )
        directory.mkdir(parents=True, exist_ok=True)
        _fetch_and_unpack(url, directory / f"{name}.zip.part", target, progress)
    except OSError as error:
        raise DownloadError(
            f"cannot write to {directory}: {error.strerror or error}. "
            "Free some space, or name another directory."
        ) from error
    return target


def _fetch_and_unpack(url: str, part: Path, target: Path, progress: Progress) -> None:
    resumed = part.is_file() and part.stat().st_size > 0
    try:
        with open_client(_TIMEOUT) as client:
            _check_resolves(url)
            _fetch(client, url, part, progress)
            md5 = _stated_md5(client, url)
    except httpx.InvalidURL as error:
        raise DownloadError(f"{url} is not an address: {error}.") from error
    try:
        if md5 is not None:
            check_md5(part, md5)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            unpacked = Path(scratch) / target.name
            progress(Step(f"unpacking {target.name}", 0))
            unpack(part, unpacked)
            # Replaces the target only if that is an empty directory.
            unpacked.rename(target)
    except DownloadError:
        part.unlink(missing_ok=True)
        if resumed:
            # What was resumed may have begun as an older archive.
            _fetch_and_unpack(url, part, target, progress)
            return
        raise
    part.unlink()


def _fetch(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    """Receive the whole file, with a pause after each failure that gets longer."""
    failures = 0
    furthest = -1
    begun = part.stat().st_size if part.is_file() else 0
    while True:
        try:
            _receive(client, url, part, progress)
        except (httpx.TransportError, _Transient) as error:
            reached = part.stat().st_size if part.is_file() else 0
            # Only what goes beyond every earlier attempt is headway: a server may start over each time.
            failures = 0 if furthest >= 0 and reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if failures >= _allowed_failures(error):
                what = str(error) or type(error).__name__
                kind = NoNetworkError if reached <= begun and _is_no_network(error) else DownloadError
                raise kind(f"cannot fetch {url}: {what}. Check the network and try again.") from error
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** max(failures - 1, 0))
        else:
            return


def _allowed_failures(error: Exception) -> int:
    """Decide how often to try: where no network is, the caller should know soon."""
    if isinstance(error, (httpx.ConnectTimeout, httpx.UnsupportedProtocol)) or _is_resolution_failure(error):
        return 1
    return 2 if isinstance(error, httpx.ConnectError) else _MAX_FAILURES


def _is_no_network(error: Exception) -> bool:
    """Tell whether nobody was reached, rather than somebody who made a mistake."""
    unreachable = (httpx.NetworkError, httpx.TimeoutException, httpx.ProxyError)
    return isinstance(error, unreachable) and not is_certificate_failure(error)


def _receive(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    offset = part.stat().st_size if part.is_file() else 0
    # A compressed transfer would make byte positions meaningless.
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            total = _TOTAL.match(response.headers.get("Content-Range", ""))
            if total and int(total.group(1)) == offset:
                return
            part.unlink()
            raise _Transient("the partial file did not fit the one on the server and was removed")
        _check_status(response, url)
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            start = _START.match(response.headers.get("Content-Range", ""))
            if not start or int(start.group(1)) != offset:
                part.unlink(missing_ok=True)
                raise _Transient("the server sent another part than asked for")
        else:
            offset = 0
        length = response.headers.get("Content-Length", "")
        total_bytes = offset + int(length) if length.isdecimal() else None
        with part.open("ab" if offset else "wb") as file:
            # Without a chunk size: what has come in before a failure would be lost in its buffer.
            for chunk in response.iter_bytes():
                file.write(chunk)
                offset += len(chunk)
                progress(
                    Step(f"downloading {part.name.removesuffix('.zip.part')}", offset, total_bytes, "byte")
                )


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
        raise _Transient(f"the server answered {status}")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise DownloadError(f"the server answered {status} for {url}. Check the address, or try again later.")


def _stated_md5(client: httpx.Client, url: str) -> str | None:
    """Ask the server for the check sum; None when it has none to give."""
    try:
        response = client.get(f"{url}.md5")
    except httpx.TransportError:
        return None
    found = _MD5.search(response.text) if response.status_code == httpx.codes.OK else None
    return found.group().lower() if found else None


def _check_resolves(url: str) -> None:
    """Refuse a host whose name does not resolve in time: the resolver itself tries for half a minute."""
    host = httpx.URL(url).host
    if not host or proxy_for(httpx.URL(url)) is not None:
        return
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, daemon=True, name="resolve")
    thread.start()
    thread.join(_RESOLVE_SECONDS)
    if thread.is_alive() or failures:
        why = failures[0].strerror or "unknown" if failures else "no answer"
        raise NoNetworkError(f"cannot find the server {host}: {why}. Check the network and try again.")


def _is_resolution_failure(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False
