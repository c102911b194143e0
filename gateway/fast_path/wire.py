"""Small parts of HTTP/1.1: responses as bytes, header lines, errors of the parser."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Iterable
from http import HTTPStatus

import httptools
from fastapi import Response

from gateway.http.error_handlers import problem_of
from gateway.http.problems import BadRequest, Problem

_LISTS = frozenset({b"accept-encoding", b"if-none-match", b"prefer"})
"""Headers whose lines are one list (RFC 9110, 5.3), of those that are read here."""


def response_bytes(
    response: Response, server_headers: bytes, own_id: bytes, *, keep_alive: bool = True
) -> bytes:
    """Return a response as it is sent; all but its headers and body are of the connection."""
    return b"HTTP/1.1 %d %b\r\n%b%bvary: Origin\r\n%bx-request-id: %b\r\n\r\n%b" % (
        response.status_code,
        HTTPStatus(response.status_code).phrase.encode(),
        server_headers,
        b"" if keep_alive else b"connection: close\r\n",
        encoded(response.raw_headers),
        own_id,
        bytes(response.body),
    )


def encoded(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header lines."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def one_line_each(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Join the lines of each list header that is read here, so that its first line has all of it."""
    lists: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _LISTS:
            lists.setdefault(name, []).append(value)
    if all(len(lines) == 1 for lines in lists.values()):
        return headers
    others = [header for header in headers if header[0] not in _LISTS]
    return others + [(name, b", ".join(lines)) for name, lines in lists.items()]


def parse_problem(error: httptools.HttpParserError) -> Problem:
    """Return the problem that stopped the parser: bad HTTP, or what one of our methods raised."""
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, Exception):
        if not isinstance(cause, httptools.HttpParserError):
            return problem_of(cause)
        error = cause
    return BadRequest(f"This cannot be read as HTTP/1.1: {error}.")


def has_unread(transport: asyncio.Transport) -> bool:
    """Tell whether the kernel has bytes of a client that the event loop has not read yet."""
    waiting = bytearray(struct.calcsize("i"))
    fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
    return any(waiting)
