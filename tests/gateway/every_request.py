"""Requests of every kind, byte by byte."""

from tests.gateway.conftest import TOKEN

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
