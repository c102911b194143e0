"""Caches answers in this process, ready to be sent: the first place where a request is looked up.

An answer is kept for as long as it is true. Another model, another import and changed ratings drop it; the
time to live bounds what could not be heard of, for example while Redis is away.
"""

import gzip
import re
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache

import xxhash

_SMALLEST_COMPRESSED = 1024
_COMPRESSION_LEVEL = 1
"""A ranking shrinks to a sixth at every level of gzip, and the first takes the least time."""

_LARGEST_SHARE = 16
"""No single answer may take more than this part of the cache."""

_OVERHEAD_BYTES = 600
"""Taken by an answer's objects, beside its body."""

_OWNERS = 1024
"""Owners are told apart by so many counters; two that share one only lose an answer now and then."""

_CODING = re.compile(rb"[ \t]*([^ \t;]+)[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]*)?|1(?:\.0*)?)[ \t]*)?")

_LONGEST_REMEMBERED = 200
"""Bytes of an ``Accept-Encoding``; browsers send 30."""


@dataclass(eq=False, slots=True)
class Answer:
    """A body and its headers.

    Attributes
    ----------
    body : bytes
        JSON.
    version : str
        For ``X-Model-Version``, empty for none.
    cache_control : str
        For ``Cache-Control``.
    member : str
        What is counted when it is asked for, see :func:`shared.contract.keys.asked`; empty for nothing.
    data : str
        For ``X-Data-Version``: fingerprint of the data that it shows.
    outdated : bool
        For ``X-Model-Outdated``: whether the model was trained on other data.
    """

    body: bytes
    version: str
    cache_control: str
    member: str = ""
    data: str = ""
    outdated: bool = False
    etag: bytes = field(init=False)
    head: bytes = field(init=False)
    hits: int = field(init=False, default=0)
    expires: float = field(init=False, default=0.0)
    _compressed: bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.etag = xxhash.xxh3_128_hexdigest(self.body).encode()
        self.head = (
            b"vary: Accept-Encoding, Origin\r\nx-cache: hit\r\ncache-control: %b\r\n"
            % self.cache_control.encode()
        )
        for name, value in self.provenance.items():
            self.head += b"%b: %b\r\n" % (name.lower().encode(), value.encode())

    @property
    def provenance(self) -> dict[str, str]:
        """The headers that say what it was made from."""
        headers = {"X-Model-Version": self.version, "X-Data-Version": self.data}
        if self.outdated:
            headers["X-Model-Outdated"] = "true"
        return {name: value for name, value in headers.items() if value}

    @property
    def missed_head(self) -> bytes:
        """The head for requests that had to wait for the answer."""
        return self.head.replace(b"x-cache: hit", b"x-cache: miss", 1)

    @property
    def compressed(self) -> bytes | None:
        """The body as gzip, made when it is first wanted; None for one that is too small to gain by it."""
        if self._compressed is None and len(self.body) >= _SMALLEST_COMPRESSED:
            self._compressed = gzip.compress(self.body, _COMPRESSION_LEVEL, mtime=0)
        return self._compressed

    def tag(self, *, compressed: bool) -> bytes:
        """Return the ``ETag``; other bytes, other tag, also of the same content (RFC 9110, 8.8.3)."""
        return b'"%b-gzip"' % self.etag if compressed else b'"%b"' % self.etag

    def matches(self, if_none_match: bytes) -> bool:
        """Tell whether a client has this answer already, in either encoding."""
        given = {part.strip().removeprefix(b"W/") for part in if_none_match.split(b",")}
        return bool(given & {b"*", self.tag(compressed=False), self.tag(compressed=True)})


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Tell whether an ``Accept-Encoding`` allows gzip, and does not rather want the plain body.

    See RFC 9110, 12.5.3: ``*`` is about what is not named, and a weight of 0 refuses. A part that cannot
    be read is passed over. Clients send few different values, so that hardly one is read twice.
    """
    if len(accept_encoding) > _LONGEST_REMEMBERED:
        return _read_accept_encoding.__wrapped__(accept_encoding)
    return _read_accept_encoding(accept_encoding)


@lru_cache(maxsize=256)
def _read_accept_encoding(accept_encoding: bytes) -> bool:
    weights: dict[bytes, float] = {}
    for part in accept_encoding.lower().split(b","):
        read = _CODING.fullmatch(part)
        if read is not None:
            coding = b"gzip" if read[1] == b"x-gzip" else read[1]
            weights[coding] = min(float(read[2] or 1), weights.get(coding, 1.0))
    others = weights.get(b"*", 0.0)
    gzip_weight = weights.get(b"gzip", others)
    return gzip_weight > 0 and gzip_weight >= weights.get(b"identity", others)


class AnswerCache:
    """Keeps the answers that were asked for last.

    Parameters
    ----------
    max_bytes : int
        Of all bodies together; 0 keeps nothing.
    ttl : timedelta
        Longest time that an answer is kept.
    """

    def __init__(self, max_bytes: int, ttl: timedelta) -> None:
        self._max_bytes = max_bytes
        self._ttl = ttl.total_seconds()
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._epoch = 0
        self._changes = [0] * _OWNERS
        self.size = 0
        """Bytes in use."""
        self.answered = 0
        """Requests that were answered from here; the reader of this number resets it."""

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, path: bytes) -> Answer | None:
        """Return the answer to a path, which is without a trailing slash."""
        answer = self._answers.get(path)
        if answer is None:
            return None
        if answer.expires < time.monotonic():
            self._drop(path)
            return None
        self._answers.move_to_end(path)
        answer.hits += 1
        self.answered += 1
        return answer

    def token(self, owner: int) -> tuple[int, int]:
        """Return what :meth:`put` needs, to be asked for before the data of an answer are read.

        Parameters
        ----------
        owner : int
            The user or movie that the answer is about.
        """
        return self._epoch, self._changes[owner % _OWNERS]

    def put(self, path: bytes, owner: int, token: tuple[int, int], answer: Answer) -> None:
        """Keep an answer, unless something changed since the token was given."""
        size = len(answer.body)
        if token != self.token(owner) or size > self._max_bytes // _LARGEST_SHARE:
            return
        self._drop(path)
        answer.expires = time.monotonic() + self._ttl
        self._answers[path] = answer
        # A compressed form may be made later: it is counted from the start, at the most that it can take.
        self.size += 2 * size + _OVERHEAD_BYTES
        while self.size > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def forget(self, paths: Iterable[bytes], owner: int) -> None:
        """Drop what is no longer true of a user or movie."""
        self._changes[owner % _OWNERS] += 1
        for path in paths:
            self._drop(path)

    def clear(self) -> None:
        """Drop everything, because of a new model or new data."""
        self._epoch += 1
        self._answers.clear()
        self.size = 0

    def take_hits(self) -> dict[str, int]:
        """Return how often each counted thing was answered since the last time, and reset that."""
        hits: dict[str, int] = {}
        for answer in self._answers.values():
            if answer.hits and answer.member:
                hits[answer.member] = answer.hits
            answer.hits = 0
        return hits

    def _drop(self, path: bytes) -> None:
        answer = self._answers.pop(path, None)
        if answer is not None:
            self.size -= 2 * len(answer.body) + _OVERHEAD_BYTES
