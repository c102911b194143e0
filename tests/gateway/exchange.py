"""Requests byte by byte, and answers in a form in which those of several gateways can be compared."""

import re
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self

_NEW_ID = re.compile(r"[0-9a-f]{32}")

Headers = dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What came back for one request.

    Attributes
    ----------
    interim : tuple of int
        Statuses of interim answers, such as 100.
    status : int
        Of the answer.
    headers : dict of str to str
        Without the date; those of one name are joined, and a request id that was made is told as that.
    body : bytes
        Its body, chunks joined.
    """

    interim: tuple[int, ...]
    status: int
    headers: Headers = field(hash=False)
    body: bytes


class Wire:
    """Sends requests to a gateway, on one connection for as long as it is kept open.

    An answer that says ``Connection: close`` must be followed by the end, all others by the next answer.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self, request: bytes) -> Reply:
        """Send a request and return its answer."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
            self._stream = self._connection.makefile("rb")
        self._connection.sendall(request)
        try:
            return self._read(is_head=request.startswith(b"HEAD "))
        except AssertionError as error:
            raise AssertionError(f"{request[:200]!r}: {error}") from None

    def ask_at_once(self, requests: list[bytes]) -> list[Reply]:
        """Send several requests together; no answer but the last may close the connection."""
        first = self.ask(b"".join(requests))
        return [first, *(self._read(is_head=request.startswith(b"HEAD ")) for request in requests[1:])]

    def _read(self, *, is_head: bool) -> Reply:
        interim: list[int] = []
        status, headers = read_head(self._stream)
        while status < 200:
            interim.append(status)
            status, headers = read_head(self._stream)
        body = b"" if is_head or status in {204, 304} else read_body(self._stream, headers)
        if headers.get("connection") == "close":
            assert self._stream.read() == b"", "more than an answer"
            self.close()
        headers.pop("date", None)
        if _NEW_ID.fullmatch(headers.get("x-request-id", "")):
            headers["x-request-id"] = "a new one"
        return Reply(tuple(interim), status, headers, body)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._stream.close()
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_head(stream: BinaryIO) -> tuple[int, Headers]:
    """Return status and headers of the next answer."""
    line = stream.readline()
    assert line.startswith(b"HTTP/1.1 "), line
    headers: Headers = {}
    while (header := stream.readline()) != b"\r\n":
        assert header.endswith(b"\r\n"), header
        name, _, value = header.decode("latin-1").rstrip("\r\n").partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(line.split()[1]), headers


def read_body(stream: BinaryIO, headers: Headers) -> bytes:
    """Return the body that follows a head."""
    if headers.get("transfer-encoding") != "chunked":
        return stream.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
