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
from tests.gateway.every_request import (
    API,
    AUTHORIZED,
    ELSEWHERE,
    JSON,
    KEPT,
    MODELS,
    TARGETS,
    ask,
    bodies,
    header_lines,
    paths,
    preflights,
    send,
    send_chunks,
    targets,
    versions,
)
from tests.gateway.exchange import Reply, Wire
from tests.processes import Gateway


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
