"""With and without the fast path every request has the same answer, but for the differences listed here."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.queue.connections import connect
from tests.gateway.conftest import TOKEN, Service
from tests.gateway.exchange import Reply, Wire
from tests.processes import Gateway

API = b"/api/v1"
MODELS = API + b"/models"
KEPT = [
    API + b"/users/2",
    API + b"/users/2/suggested_movies",
    API + b"/movies/2",
    API + b"/movies/2/most_similar_movies",
]
"""Paths whose answers are kept in memory."""

TARGETS = [
    *KEPT,
    API + b"/users/2147483647/suggested_movies",
    API + b"/users/0",
    b"/livez",
    b"/nothing",
    MODELS,
]
"""One path of each sort: kept, unknown, out of range, plain, not found, with several methods."""

METHODS = [b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"PATCH", b"DELETE", b"TRACE"]
ELSEWHERE = b"Origin: https://films.example"
JSON = b"Content-Type: application/json"
AUTHORIZED = b"Authorization: Bearer " + TOKEN.encode()


@dataclass(frozen=True)
class Gateways:
    """Three gateways over one database and one Redis.

    Attributes
    ----------
    memory, redis : Wire
        With the fast path; the second keeps no answers in memory.
    plain : Wire
        Without it.
    service : Service
        Workers, database and Redis.
    """

    memory: Wire
    redis: Wire
    plain: Wire
    service: Service

    def compare(self, requests: list[bytes]) -> None:
        """Fail if a request has different answers."""
        different = []
        for request in requests:
            plain = comparable(request, self.plain.ask(request))
            memory = comparable(request, self.memory.ask(request))
            redis = comparable(request, self.redis.ask(request))
            if memory != plain:
                different.append((request[:200], "memory", memory, plain))
            if without_cache(redis) != without_cache(plain):
                different.append((request[:200], "redis", redis, plain))
        assert different == [], f"{len(different)} answers of {len(requests)} requests differ"


def comparable(request: bytes, reply: Reply) -> Reply:
    """Leave out what changes from one moment to the next."""
    if b" /readyz" in request:
        headers = {name: value for name, value in reply.headers.items() if name != "content-length"}
        return Reply(reply.interim, reply.status, headers, b"")
    return reply


def without_cache(reply: Reply) -> Reply:
    """Leave out whether a cache had it, which is another thing without a memory."""
    headers = {name: value for name, value in reply.headers.items() if name != "x-cache"}
    return Reply(reply.interim, reply.status, headers, reply.body)


@pytest.fixture(scope="module")
def gateways(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    logs = tmp_path_factory.mktemp("gateways")
    environment = {
        "DATA_DIR": str(service.trained.data_dir),
        "QUEUE_URL": service.redis_url,
        "ADMIN_TOKEN": TOKEN,
        "CORS_ORIGINS": "https://films.example",
        "FORWARDED_PREFIX": "true",
    }
    own = {"memory": {}, "redis": {"LOCAL_CACHE_MB": "0"}, "plain": {"FAST_PATH": "false"}}
    with ExitStack() as stack:
        wires = {}
        for name, settings in own.items():
            gateway = stack.enter_context(Gateway(log=logs / f"{name}.log", **environment, **settings))
            gateway.wait_until_ready(2)
            wires[name] = stack.enter_context(Wire(gateway.port))
        gateways = Gateways(**wires, service=service)
        for path in KEPT:
            for wire in wires.values():
                assert wire.ask(ask(path)).status == 200
        yield gateways
        for name in wires:
            assert "Traceback" not in (logs / f"{name}.log").read_text(encoding="utf-8")


def ask(
    target: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1", body: bytes = b""
) -> bytes:
    """Return a request."""
    head = b"".join(line + b"\r\n" for line in (b"Host: x", *lines))
    return b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, target, version, head, body)


def send(target: bytes, body: bytes, *lines: bytes, method: bytes = b"POST") -> bytes:
    """Return a request with a body of declared length."""
    return ask(target, b"Content-Length: %d" % len(body), *lines, method=method, body=body)


def send_chunks(
    target: bytes, *chunks: bytes, lines: tuple[bytes, ...] = (), method: bytes = b"POST"
) -> bytes:
    """Return a request with a body in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return ask(target, b"Transfer-Encoding: chunked", *lines, method=method, body=body)


def paths() -> list[bytes]:
    """Every route, ids that are none, paths that are none; with every method, slashes and queries."""
    paths = [
        b"/",
        b"/docs",
        b"/redoc",
        b"/openapi.json",
        b"/docs/swagger.js",
        b"/docs/none",
        b"/livez",
        b"/readyz",
    ]
    paths += [MODELS, MODELS + b"/current", API + b"/jobs/x", API + b"/jobs/" + b"0" * 32, API, b"/nothing"]
    sorts = [b"/users/%b", b"/users/%b/suggested_movies", b"/movies/%b", b"/movies/%b/most_similar_movies"]
    paths += [
        API + sort % number for sort in sorts for number in (b"2", b"2147483647", b"0", b"2147483648", b"x")
    ]
    paths += [API + sorts[1] % number for number in (b"02", b"-1", b"+2", b"2.0", b"99999999999")]
    endings = [b"", b"/", b"//", b"?q=1", b"/?q=1", b"?", b"?user_id=3"]
    return [
        *(ask(path + ending) for path in paths for ending in endings),
        *(ask(path, method=method) for path in paths for method in METHODS[1:]),
        *(ask(path + b"/", method=method) for path in TARGETS for method in METHODS[1:]),
    ]


def targets() -> list[bytes]:
    """What may stand in a request line instead of a plain path."""
    users = API + b"/users/"
    unusual = [
        users + end
        for end in (b"%32", b"2%2F", b"2;x", b"2#x", b"2?a=%ff", b"2%20", b"%2e%2e", b"../users/2")
    ]
    unusual += [
        b"/%ff",
        b"/%C3%A9",
        b"/..",
        b"/%",
        b"/%zz",
        b"/livez%00",
        b"//",
        b"///",
        b"/docs/..%2fcore.py",
    ]
    unusual += [b"/api%2fv1/users/2", b"/API/v1/users/2", API + b"/users%2F2", b"https://y:8/livez"]
    for path in TARGETS:
        unusual += [b"http://x" + path, b"/" + path, b"http://x/" + path, path.replace(b"/", b"//")]
    requests = [ask(target, method=method) for target in unusual for method in (b"GET", b"HEAD")]
    return [*requests, ask(b"*", method=b"OPTIONS")]


def header_lines() -> list[bytes]:
    """Headers that change an answer, in all their forms, and some that do not."""
    codings = [
        b"gzip",
        b"identity",
        b"gzip;q=0",
        b"*",
        b"br, gzip;q=0.1",
        b"gzip;q=0.1, identity;q=0.9",
        b"x-gzip",
    ]
    codings += [b"", b"GZIP", b"gzip;q=2", b"deflate", b"*;q=0", b"gzip ; q=1", b"identity;q=0"]
    one = {
        b"Accept-Encoding": codings,
        b"If-None-Match": [b"*", b'"x"', b"", b"junk"],
        b"Prefer": [b"wait=1", b"", b"handling=strict"],
        b"Origin": [b"https://films.example", b"https://other.example", b"null", b""],
        b"X-Request-ID": [b"mine-1", b"no good", b"", b"x" * 64, b"x" * 65, b"\xff"],
        b"X-Forwarded-Prefix": [b"/movies", b"/movies/", b"movies", b"/a/../b", b"//elsewhere"],
        b"Connection": [b"close", b"keep-alive", b"Close", b"keep-alive, close", b"x", b""],
        b"Range": [b"bytes=0-1"],
        b"Accept": [b"text/plain"],
        b"X": [b"\xff\xfe", b""],
    }
    several = [
        (b"Accept-Encoding: identity", b"Accept-Encoding: gzip"),
        (b"Accept-Encoding: *", b"Accept-Encoding: gzip;q=0"),
        (b'If-None-Match: "x"', b"If-None-Match: *"),
        (b"If-None-Match: *", b"Accept-Encoding: gzip"),
        (b"X-Request-ID: a", b"X-Request-ID: b"),
        (b"X-Forwarded-Prefix: /a", b"X-Forwarded-Prefix: /b"),
        (b"Connection: close", b"Connection: keep-alive"),
        (ELSEWHERE, b"Accept-Encoding: gzip"),
    ]
    lines = [(b"%b: %b" % (name, value),) for name, values in one.items() for value in values] + several
    return [
        *(ask(path, *line) for path in TARGETS for line in lines),
        *(
            ask(path, *line, method=method)
            for path in KEPT[:2]
            for line in lines
            for method in (b"HEAD", b"OPTIONS")
        ),
    ]


def preflights() -> list[bytes]:
    """What a browser asks before it asks."""
    asked: list[tuple[bytes, ...]] = [(), (b"X-Request-ID",), (b"X-Other",)]
    return [
        ask(
            path,
            b"Origin: " + origin,
            b"Access-Control-Request-Method: " + wanted,
            *(b"Access-Control-Request-Headers: " + name for name in names),
            method=b"OPTIONS",
        )
        for path in TARGETS
        for origin in (b"https://films.example", b"https://other.example")
        for wanted in (b"GET", b"DELETE")
        for names in asked
    ]


def versions() -> list[bytes]:
    """HTTP/1.0 and 1.1, kept open and not."""
    lines: list[tuple[bytes, ...]] = [(), (b"Connection: keep-alive",), (b"Connection: close",)]
    return [
        *(
            ask(path, *line, version=version, method=method)
            for path in TARGETS
            for line in lines
            for version in (b"1.0", b"1.1")
            for method in (b"GET", b"HEAD", b"POST")
        ),
        *(b"GET %b HTTP/%b\r\n\r\n" % (path, version) for path in TARGETS for version in (b"1.0", b"1.1")),
    ]


def bodies() -> list[bytes]:
    """Bodies that are awaited and that are not, in both forms."""
    requests = []
    for path in TARGETS:
        for method in (b"GET", b"POST", b"HEAD"):
            requests += [
                send(path, b"hello", method=method),
                send(path, b"", method=method),
                send(path, b"hello", b"Expect: 100-continue", method=method),
                ask(path, b"Expect: 100-continue", method=method),
                ask(path, b"Expect: something", method=method),
                send_chunks(path, b"he", b"llo", method=method),
                ask(
                    path,
                    b"Transfer-Encoding: chunked",
                    method=method,
                    body=b"1;x=1\r\na\r\n0\r\nX: y\r\n\r\n",
                ),
            ]
    wrong = [
        b"nope",
        b"[1]",
        b'{"algorithm": "magic"}',
        b"\xff",
        b'{"parameters": {"seed": -1}}',
        b" " * 65_536,
    ]
    for content in wrong:
        for who in ((), (AUTHORIZED,), (b"Authorization: Bearer wrong-token-wrong",)):
            for kind in ((), (JSON,), (b"Content-Type: text/plain",)):
                lines = (*who, *kind)
                requests += [
                    send(MODELS, content, *lines),
                    send(MODELS, content, *lines, ELSEWHERE, b"Expect: 100-continue"),
                    send_chunks(MODELS, content, lines=lines),
                ]
    return requests


@pytest.mark.parametrize("requests", [paths, targets, header_lines, preflights, versions, bodies])
def test_answers_are_equal(gateways: Gateways, requests: Callable[[], list[bytes]]) -> None:
    gateways.compare(requests())


def test_one_who_has_the_answer_gets_a_304(gateways: Gateways) -> None:
    requests = []
    for path in KEPT:
        for coding in (b"Accept-Encoding: identity", b"Accept-Encoding: gzip"):
            reply = gateways.plain.ask(ask(path, coding))
            tag = reply.headers["etag"].encode()
            requests += [
                ask(path, b"If-None-Match: " + given, coding, method=method)
                for given in (tag, b"W/" + tag, b'"x", ' + tag)
                for method in (b"GET", b"HEAD")
            ]
    assert {gateways.memory.ask(request).status for request in requests} == {304}
    gateways.compare(requests)


def test_requests_that_are_sent_together_are_answered_in_order(gateways: Gateways) -> None:
    burst = [ask(path, method=method) for path in TARGETS for method in (b"GET", b"HEAD")]
    burst += [send(MODELS, b"{", JSON), ask(KEPT[0]), ask(KEPT[1], b"Connection: close")]
    plain = gateways.plain.ask_at_once(burst)
    assert gateways.memory.ask_at_once(burst) == plain
    assert list(map(without_cache, gateways.redis.ask_at_once(burst))) == list(map(without_cache, plain))


def test_one_who_does_not_want_to_wait_gets_a_202(gateways: Gateways) -> None:
    replies = []
    for user_id, wire in ((41, gateways.memory), (42, gateways.redis), (43, gateways.plain)):
        with connect(gateways.service.redis_url) as redis:
            redis.delete(keys.ranking(Kind.SUGGESTED, user_id)[0])
        path = b"%b/users/%d/suggested_movies" % (API, user_id)
        reply = wire.ask(ask(path, b"Prefer: wait=1", b"Prefer: respond-async", b"X-Forwarded-Prefix: /p"))
        body = re.sub(rb"users/4\d|[0-9a-f]{32}", b"ID", reply.body)
        headers = {name: re.sub(r"[0-9a-f]{32}", "ID", value) for name, value in reply.headers.items()}
        replies.append(Reply(reply.interim, reply.status, headers, body))
    assert replies[0].status == 202
    assert replies[0].headers["location"] == "/p/api/v1/jobs/ID"
    assert replies[0] == replies[1] == replies[2]


# --- what differs, and why ---

PROBLEM = "application/problem+json"
TEXT = "text/plain; charset=utf-8"
OFFER = (b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
LARGE = b" " * 65_537

NOT_HTTP = [
    b"hello\r\n\r\n",
    b"get / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/3.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /livez HTTP/1.1\nHost: x\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ask(b"http://["),
    ask(b"http://x"),
    ask(b"http://x?q=1"),
    ask(b"http://x", method=b"OPTIONS"),
    ask(b"livez"),
    ask(b"/a b"),
    ask(b"/\xc3\xa9"),
    ask(b"/livez", b"Content-Length: x"),
    ask(b"/livez", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ask(b"/livez", b"Transfer-Encoding: gzip"),
    ask(MODELS, b"Content-Length: 3", b"Content-Length: 2", method=b"POST"),
    ask(MODELS, b"Transfer-Encoding: chunked", method=b"POST", body=b"x\r\n"),
]

Answered = tuple[int, str, str | None]
"""Status, content type and the header ``Connection``."""

DIFFERENCES: dict[str, tuple[list[bytes], Answered, Answered]] = {
    "uvicorn answers what is not HTTP in plain text, without a request id": (
        NOT_HTTP,
        (400, PROBLEM, "close"),
        (400, TEXT, "close"),
    ),
    "uvicorn goes on reading a body that is refused": (
        [
            send(MODELS, LARGE),
            send(MODELS, LARGE, AUTHORIZED, JSON),
            send(b"/livez", LARGE, ELSEWHERE, method=b"GET"),
            send_chunks(MODELS, LARGE, lines=(AUTHORIZED, JSON)),
        ],
        (413, PROBLEM, "close"),
        (413, PROBLEM, None),
    ),
    "uvicorn has no limit for an address": (
        [ask(b"/" + b"a" * 33_000)],
        (414, PROBLEM, "close"),
        (404, PROBLEM, None),
    ),
    "uvicorn has no limit for headers": (
        [ask(KEPT[0], b"X: " + b"a" * 33_000), ask(KEPT[0], *[b"X: y"] * 101)],
        (431, PROBLEM, "close"),
        (200, "application/json", None),
    ),
}
"""Why, requests, the answer with the fast path, the answer without it; told in docs/fast_path.md."""


@pytest.mark.parametrize("why", DIFFERENCES)
def test_differences_are_as_listed(gateways: Gateways, why: str) -> None:
    requests, fast, plain = DIFFERENCES[why]
    for request in requests:
        for wire, expected in ((gateways.memory, fast), (gateways.redis, fast), (gateways.plain, plain)):
            reply = wire.ask(request)
            answered = reply.status, reply.headers["content-type"], reply.headers.get("connection")
            assert answered == expected, request[:100]


def test_refusals_differ_in_nothing_else(gateways: Gateways) -> None:
    for request in (send(MODELS, LARGE, ELSEWHERE), send_chunks(MODELS, LARGE, lines=(ELSEWHERE, JSON))):
        fast, plain = gateways.memory.ask(request), gateways.plain.ask(request)
        assert fast.headers.pop("connection") == "close"
        assert fast == plain


def test_uvicorn_loses_a_body_that_comes_with_an_offer_of_another_protocol(gateways: Gateways) -> None:
    request = send(MODELS, b"nope", AUTHORIZED, JSON, *OFFER)
    for wire, detail in ((gateways.memory, b"not JSON"), (gateways.plain, b"required")):
        reply = wire.ask(request)
        assert reply.status == 422
        assert detail in reply.body
        wire.close()  # uvicorn's parser takes what follows for the other protocol
    gateways.compare([ask(path, *OFFER) for path in TARGETS])
