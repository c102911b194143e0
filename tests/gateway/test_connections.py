"""No client can make the gateway large, slow or deaf, whichever path its requests take."""

import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from benchmarks.serving.usage import resident_megabytes
from gateway.fast_path.wire import has_unread
from shared.queue.connections import connect as connect_redis
from shared.redis_server.server import RedisServer
from tests.conftest import PROJECT, Trained
from tests.gateway.conftest import TOKEN
from tests.processes import Gateway, wait_for

FAST, PLAIN = b"", b"Range: none\r\n"
"""Header lines: none, and one with which a request takes the plain path, by uvicorn to the routes."""

both_paths = pytest.mark.parametrize("path_kind", [FAST, PLAIN], ids=["fast path", "plain path"])

USER = b"/api/v1/users/2"


@pytest.fixture(scope="module")
def environment(trained: Trained, redis_server: RedisServer) -> dict[str, str]:
    with connect_redis(redis_server.url) as client:
        client.flushall()  # also the heartbeats of workers that other tests made up
    return {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_server.url, "ADMIN_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def gateway(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway without workers, with the usual limits."""
    log = tmp_path_factory.mktemp("connections") / "gateway.log"
    with Gateway(log=log, **environment) as gateway:
        assert gateway.client.get(USER.decode()).status_code == 200
        yield gateway


@pytest.fixture(scope="module")
def impatient(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with limits of a second."""
    log = tmp_path_factory.mktemp("impatient") / "gateway.log"
    limits = dict.fromkeys(["KEEP_ALIVE", "HEADER_TIMEOUT", "BODY_TIMEOUT", "SEND_TIMEOUT"], "1")
    with Gateway(log=log, **environment, **limits) as gateway:
        assert gateway.client.get(USER.decode()).status_code == 200
        yield gateway


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=20)


def get(path: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (path, version, b"".join(lines))


def post(body: bytes, *lines: bytes) -> bytes:
    """Return a request for a training, which will be refused for what is in its body."""
    own = b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n" % TOKEN.encode()
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /api/v1/models HTTP/1.1\r\nHost: x\r\n%b%b%b\r\n%b" % (own, length, b"".join(lines), body)


Reply = tuple[int, dict[str, str], bytes]


def read(stream: BinaryIO) -> Reply:
    """Return status, headers and body of the next answer."""
    status = stream.readline()
    assert status.startswith(b"HTTP/1.1 "), status
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode().partition(": ")
        assert name not in headers
        headers[name] = value
    length = int(headers.get("content-length", 0))
    body = stream.read(length)
    assert len(body) == length
    return int(status.split()[1]), headers, body


def ask(gateway: Gateway, request: bytes) -> Reply:
    with closing(connect(gateway)) as connection:
        connection.sendall(request)
        return read(connection.makefile("rb"))


def send_what_can_be(connection: socket.socket, data: bytes) -> None:
    """Send what the other end still takes."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return


def assert_refused(stream: BinaryIO, status: int, slug: str) -> None:
    """Look for a problem document, and for the end of the connection after it."""
    given, headers, body = read(stream)
    assert given == status
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"]
    document: dict[str, Any] = json.loads(body)
    assert document["type"] == f"urn:movierec:problem:{slug}"
    assert document["status"] == status
    assert document["detail"]
    assert stream.read() == b""


# --- answers that nobody reads ---


@pytest.fixture(scope="module")
def large(gateway: Gateway) -> bytes:
    """Return the path of a large answer that the gateway has in memory."""
    paths = [f"/api/v1/users/{user_id}" for user_id in range(1, 200)]
    return max(paths, key=lambda path: len(gateway.client.get(path).content)).encode()


@both_paths
def test_thousands_of_requests_whose_answers_nobody_reads_cost_little(
    gateway: Gateway, large: bytes, path_kind: bytes
) -> None:
    paths = [large, large, b"/api/v1/movies/1"]
    expected = {path: ask(gateway, get(path))[2] for path in paths}
    n = 4000 if path_kind == FAST else 1000
    assert n * len(expected[large]) > 30 * 2**20
    asked = [paths[i % len(paths)] for i in range(n)]
    burst = b"".join(get(path, path_kind, b"X-Request-ID: n%d\r\n" % i) for i, path in enumerate(asked))
    before = resident_megabytes(gateway.process.pid)
    with closing(connect(gateway)) as connection:
        connection.setblocking(False)
        sent = connection.send(burst)  # as much as is taken before anything is answered
        began = time.monotonic()
        assert gateway.client.get(USER.decode()).status_code == 200
        assert gateway.client.get("/livez").status_code == 200
        assert time.monotonic() - began < 2, "others have to wait"
        for _ in range(20):
            gateway.client.get("/livez")
            assert resident_megabytes(gateway.process.pid) - before < 10
        connection.settimeout(20)
        stream = connection.makefile("rb")
        for i, path in enumerate(asked):
            if sent < len(burst):
                sent += connection.send(burst[sent : sent + 4096])
            status, headers, body = read(stream)
            assert (status, headers["x-request-id"]) == (200, f"n{i}")
            assert body == expected[path]


def test_unread_answers_of_many_connections_are_bounded(gateway: Gateway, large: bytes) -> None:
    size = len(ask(gateway, get(large))[2])
    before = resident_megabytes(gateway.process.pid)
    with ExitStack() as opened:
        connections = [opened.enter_context(closing(connect(gateway))) for _ in range(50)]
        for connection in connections:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send(get(large) * 1000)
        for _ in range(50):
            gateway.client.get("/livez")
        each = 64 * 1024 + size + 256 * 1024  # high-water mark, an answer, what was read and is not parsed
        assert resident_megabytes(gateway.process.pid) - before < len(connections) * each / 2**20 + 10


def test_one_who_takes_nothing_is_cut_off_and_one_who_takes_little_is_not(impatient: Gateway) -> None:
    burst = get(USER) * 2000
    with closing(connect(impatient)) as deaf, closing(connect(impatient)) as slow:
        for connection in (deaf, slow):
            connection.setblocking(False)
            connection.send(burst)
            connection.settimeout(20)
        read_slowly = 0

        def deaf_is_gone() -> bool:
            nonlocal read_slowly
            read_slowly += len(slow.recv(65536))
            time.sleep(0.05)
            # Every byte that the kernel has for it stays: only what is asked now tells.
            try:
                deaf.send(b"G")
            except (BlockingIOError, TimeoutError):
                return False
            except ConnectionError:
                return True
            return False

        wait_for(deaf_is_gone, "it is cut off", 20)
        before = read_slowly
        while read_slowly < before + 10 * len(burst):
            data = slow.recv(65536)
            assert data, "the slow one was cut off"
            read_slowly += len(data)


# --- the end of one side, other protocols, other versions ---


@both_paths
@pytest.mark.parametrize("path", [USER, b"/api/v1/users/9/suggested_movies", b"/nothing"])
def test_one_who_ends_his_side_gets_all_answers(gateway: Gateway, path_kind: bytes, path: bytes) -> None:
    expected = ask(gateway, get(path, path_kind))
    for n in (1, 1, 1, 1, 1, 30):
        with closing(connect(gateway)) as connection:
            connection.sendall(get(path, path_kind) * n)
            connection.shutdown(socket.SHUT_WR)
            stream = connection.makefile("rb")
            for _ in range(n):
                status, _, body = read(stream)
                assert (status, body) == (expected[0], expected[2])
            assert stream.read() == b""


def test_half_a_request_and_the_end_close_the_connection(gateway: Gateway) -> None:
    for half in (b"", b"GET /", get(USER)[:-1], post(b"{}")[:-1]):
        with closing(connect(gateway)) as connection:
            connection.sendall(half)
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read() == b""


OFFERS = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
]


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "websocket"])
def test_offers_of_other_protocols_are_ignored(gateway: Gateway, offer: bytes) -> None:
    body = b'{"algorithm": "magic"}'
    expected = ask(gateway, post(body))
    assert b"magic" in expected[2]
    chunked = post(b"", offer, b"Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    whole = post(body, offer)
    for pieces in (
        [whole],
        [whole[: -len(body)], body],
        [bytes([byte]) for byte in whole],
        [chunked],
        [whole + get(USER) + chunked],
        [get(b"/api/v1/movies/1", offer) + whole],
    ):
        with closing(connect(gateway)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            connection.sendall(get(b"/livez"))
            stream = connection.makefile("rb")
            sent = b"".join(pieces)
            for method in re.findall(rb"(GET|POST) /", sent):
                status, _, answer = read(stream)
                if method == b"POST":
                    assert (status, answer) == (expected[0], expected[2])
                else:
                    assert status == 200
            status, headers, _ = read(stream)
            assert status == 200
            assert headers["content-type"] == "application/json"
    assert gateway.process.poll() is None


@both_paths
def test_http_1_0_is_never_kept_open_without_saying_so(gateway: Gateway, path_kind: bytes) -> None:
    for line in (b"Connection: keep-alive\r\n", b"Connection: Keep-Alive\r\n", b""):
        with closing(connect(gateway)) as connection:
            began = time.monotonic()
            connection.sendall(get(USER, line, path_kind, version=b"1.0"))
            stream = connection.makefile("rb")
            status, headers, _ = read(stream)
            assert (status, headers["connection"]) == (200, "close")
            assert stream.read() == b""
            assert time.monotonic() - began < 4  # KEEP_ALIVE would be five seconds


@both_paths
def test_http_1_1_is_kept_open_whether_that_is_said_or_not(gateway: Gateway, path_kind: bytes) -> None:
    with closing(connect(gateway)) as connection:
        stream = connection.makefile("rb")
        for line in (b"Connection: keep-alive\r\n", b"", b"Connection: Keep-Alive\r\n"):
            connection.sendall(get(USER, line, path_kind))
            assert "connection" not in read(stream)[1]


# --- what is too large, too slow, or not HTTP ---


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        (b"hello\r\n\r\n", 400, "bad-request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100, 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "bad-request"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (post(b"{}", b"Content-Length: 3\r\n"), 400, "bad-request"),
        (
            post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"x\r\n",
            400,
            "bad-request",
        ),
        (b"GET /" + b"a" * 9_000_000, 414, "uri-too-long"),
        (b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri-too-long"),
        (get(USER, b"X: %b\r\n" % (b"a" * 33_000)), 431, "headers-too-large"),
        (get(USER, b"X: %b\r\n" % (b"a" * 9_000_000)), 431, "headers-too-large"),
        (get(USER, b"X: y\r\n" * 101), 431, "headers-too-large"),
        (get(USER, b"X: y\r\n" * 500_000), 431, "headers-too-large"),
        (get(USER, PLAIN, b"X: y\r\n" * 101), 431, "headers-too-large"),
        (post(b"a" * 70_000), 413, "body-too-large"),
        (post(b"a" * 9_000_000), 413, "body-too-large"),
        (
            post(b"", b"Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
            + b"3e8\r\n%b\r\n" % (b"a" * 1000) * 9000,
            413,
            "body-too-large",
        ),
        (
            post(b"", b"Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
            + b"1;%b\r\na\r\n" % (b"x" * 1000) * 9000,
            413,
            "body-too-large",
        ),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_what_cannot_be_served_is_a_problem_and_costs_nothing(
    gateway: Gateway, request_: bytes, status: int, slug: str
) -> None:  # fmt: skip
    before = resident_megabytes(gateway.process.pid)
    for first in (b"", get(USER), get(USER, PLAIN)):
        with closing(connect(gateway)) as connection:
            send_what_can_be(connection, first + request_)
            stream = connection.makefile("rb")
            if first:
                assert read(stream)[0] == 200
            assert_refused(stream, status, slug)
    assert resident_megabytes(gateway.process.pid) - before < 20
    assert "Traceback" not in gateway.output


def test_just_what_is_allowed_is_served(gateway: Gateway) -> None:
    room = 32 * 1024 - 200
    for path_kind in (FAST, PLAIN):
        request = get(USER, path_kind, b"X: %b\r\n" % (b"a" * room))
        assert ask(gateway, request)[0] == 200
        assert ask(gateway, get(USER, path_kind, b"X: y\r\n" * 98))[0] == 200
        with closing(connect(gateway)) as connection:  # after another, so that it is read in two parts
            connection.sendall(get(USER) + request + request)
            stream = connection.makefile("rb")
            assert [read(stream)[0] for _ in range(3)] == [200, 200, 200]
    body = b'{"algorithm": "magic"%b}' % (b" " * 65_000)
    with closing(connect(gateway)) as connection:
        connection.sendall(post(body) + get(USER))
        stream = connection.makefile("rb")
        status, _, answer = read(stream)
        assert (status, b"magic" in answer) == (422, True)
        assert read(stream)[0] == 200


def test_a_body_of_line_ends_neither_grows_nor_holds_up(gateway: Gateway) -> None:
    body = b'{"algorithm": "magic"%b}' % (b"\r\n\r\n" * 16_000)
    with closing(connect(gateway)) as connection:
        connection.sendall(post(body) + get(USER))
        stream = connection.makefile("rb")
        assert read(stream)[0] == 422
        assert read(stream)[0] == 200


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (b"GET /", b"a"),
        (get(USER) + b"G", b""),
        (post(b"a" * 1000)[:-999], b"a"),
        (post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"), b"1\r\na\r\n"),
    ],
    ids=["headers", "address", "second request", "body", "chunks"],
)
def test_whoever_takes_too_long_is_told_so(impatient: Gateway, begun: bytes, more: bytes) -> None:
    with closing(connect(impatient)) as connection:
        connection.sendall(begun)
        connection.settimeout(0.1)
        got = b""
        began = time.monotonic()
        while b"request-timeout" not in got:
            assert time.monotonic() - began < 15
            send_what_can_be(connection, more)  # a little now and then does not help
            try:
                got += connection.recv(65536)
            except TimeoutError:
                continue
        assert time.monotonic() - began > 0.9
        assert b"HTTP/1.1 408 " in got
        assert b"connection: close" in got


@both_paths
def test_a_body_that_nobody_needs_is_not_waited_for_long(impatient: Gateway, path_kind: bytes) -> None:
    with closing(connect(impatient)) as connection:
        connection.sendall(get(b"/livez", path_kind, b"Content-Length: 1000\r\n"))
        stream = connection.makefile("rb")
        assert read(stream)[0] == 200
        assert stream.read() == b""  # and no second answer


def test_one_who_says_nothing_is_left_without_a_word(impatient: Gateway) -> None:
    with closing(connect(impatient)) as connection:
        began = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - began > 0.9


# --- how many ---


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(20)


def test_idle_connections_make_room_oldest_first_and_else_new_ones_are_refused(
    environment: dict[str, str], tmp_path: Path
) -> None:
    limits = {"MAX_CONNECTIONS": "100", "KEEP_ALIVE": "600", "HEADER_TIMEOUT": "600"}
    with (
        Gateway(log=tmp_path / "gateway.log", **environment, **limits) as gateway,
        ExitStack() as opened,
    ):

        def another(sent: bytes) -> socket.socket:
            connection = opened.enter_context(closing(connect(gateway)))
            connection.sendall(sent)
            return connection

        def answered() -> socket.socket:
            connection = another(get(USER))
            with connection.makefile("rb") as stream:
                assert read(stream)[0] == 200
            return connection

        busy = [another(b"GET /") for _ in range(20)]
        old = [answered() for _ in range(40)]
        ticks = time.monotonic() + 1.5  # age is counted in halves of a second
        wait_for(lambda: time.monotonic() > ticks, "time passes")
        young = [answered() for _ in range(80)]
        assert not any(is_open(connection) for connection in old)
        assert all(is_open(connection) for connection in busy)
        assert sum(is_open(connection) for connection in young) > 60

        more = [another(b"GET /") for _ in range(100)]  # nobody of these is idle, and some are too many
        for connection in more:
            send_what_can_be(connection, b" HTTP")
        with another(b"").makefile("rb") as stream:
            assert_refused(stream, 503, "too-many-connections")
        assert "connections are refused" in gateway.output
        assert gateway.output.count("connections are refused") < 5

        for connection in busy + more:
            connection.close()
        wait_for(lambda: ask_or_none(gateway) == 200, "there is room again")


def ask_or_none(gateway: Gateway) -> int | None:
    try:
        return ask(gateway, get(USER))[0]
    except (OSError, AssertionError):
        return None


def test_without_files_it_says_so_makes_room_and_recovers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    limits = {"KEEP_ALIVE": "600", "HEADER_TIMEOUT": "600"}
    with (
        Gateway(log=tmp_path / "gateway.log", **environment, **limits) as gateway,
        ExitStack() as opened,
    ):
        assert gateway.client.get(USER.decode()).status_code == 200
        pid = gateway.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, hard))
        for _ in range(60):
            opened.enter_context(closing(connect(gateway)))
        wait_for(lambda: "no connections are accepted" in gateway.output, "it says so")
        # Those without a word are closed for others, within the pauses between two attempts.
        assert ask(gateway, get(USER))[0] == 200
        assert gateway.output.count("no connections are accepted") < 5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert ask(gateway, get(USER))[0] == 200


def test_where_few_files_are_allowed_idle_clients_shut_nobody_out(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import resource, sys\n"
        "if 'gateway' in sys.orig_argv:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))\n",
        encoding="utf-8",
    )
    limits = {"KEEP_ALIVE": "600", "HEADER_TIMEOUT": "600", "PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    with (
        Gateway(log=tmp_path / "gateway.log", **environment, **limits) as gateway,
        ExitStack() as opened,
    ):
        assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE) == (128, 128)
        idle = [opened.enter_context(closing(connect(gateway))) for _ in range(300)]
        assert ask(gateway, get(USER))[0] == 200
        assert gateway.client.get("/api/v1/users/3").status_code == 200  # which the database is asked for
        assert 10 < sum(is_open(connection) for connection in idle) < 128
        assert "no connections are accepted" not in gateway.output
        assert "connections are refused" not in gateway.output


def test_more_connections_than_files_are_not_promised(environment: dict[str, str], tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = {"MAX_CONNECTIONS": str(hard * 2)}
    with Gateway(log=tmp_path / "gateway.log", **environment, **limits) as gateway:
        assert "fewer connections than MAX_CONNECTIONS" in gateway.output


@both_paths
def test_one_who_is_refused_while_sending_gets_to_read_why(gateway: Gateway, path_kind: bytes) -> None:
    """To close a connection with unread data resets it, and what was sent on it may be lost."""
    begun = post(b"a" * 60_000, path_kind, b"Connection: close\r\n").replace(b"models", b"nothing")[:-50_000]
    for _ in range(20):
        with closing(connect(gateway)) as connection:
            connection.sendall(begun)
            connection.sendall(b"a" * 40_000)
            stream = connection.makefile("rb")
            status, headers, _ = read(stream)
            assert (status, headers["connection"]) == (404, "close")
            send_what_can_be(connection, b"a" * 10_000)
            assert stream.read() == b""


def test_connect_and_old_versions_are_answered(gateway: Gateway) -> None:
    for request, statuses in (
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405}),
        (b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405}),
        (b"GET /livez HTTP/1.0\r\n\r\n", {200}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    ):
        status, headers, body = ask(gateway, request)
        assert status in statuses
        if status != 200:
            assert headers["content-type"] == "application/problem+json"
            assert json.loads(body)["detail"]


def test_what_came_while_others_were_answered_is_read_before_a_connection_counts_as_idle(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The loop is held up by one client, while the time of some others is just over."""
    stop, stopped = tmp_path / "stop", tmp_path / "stopped"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'gateway' in sys.orig_argv:\n"
        "    import pathlib, time\n"
        "    from gateway.load.shedding import LoadShedder\n"
        f"    stop, stopped = pathlib.Path({str(stop)!r}), pathlib.Path({str(stopped)!r})\n"
        "    def sheds(self, question):\n"
        "        while stop.exists():\n"
        "            stopped.touch()\n"
        "            time.sleep(0.01)\n"
        "        return True\n"
        "    LoadShedder.sheds = sheds\n",
        encoding="utf-8",
    )
    path = f"{tmp_path}:{PROJECT}"
    with (
        Gateway(log=tmp_path / "gateway.log", PYTHONPATH=path, KEEP_ALIVE="1", **environment) as gateway,
        ExitStack() as opened,
    ):
        waiting = []
        for _ in range(30):  # of all ages from nothing to KEEP_ALIVE, so that some are due at any moment
            connection = opened.enter_context(closing(connect(gateway)))
            connection.sendall(get(b"/livez"))
            assert read(connection.makefile("rb"))[0] == 200
            waiting.append(connection)
            time.sleep(0.05)
        stop.touch()
        busy = opened.enter_context(closing(connect(gateway)))
        busy.sendall(get(b"/api/v1/users/9/suggested_movies"))
        wait_for(stopped.exists, "the loop is held up")
        later = time.monotonic() + 1
        wait_for(lambda: time.monotonic() > later, "time passes")
        waiting = [connection for connection in waiting if is_open(connection)]
        for connection in waiting:
            connection.sendall(get(b"/livez"))
        stop.unlink()
        assert len(waiting) > 15
        assert {read(connection.makefile("rb"))[0] for connection in waiting} == {200}
        assert read(busy.makefile("rb"))[0] == 503


def test_unread_bytes_are_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = SimpleNamespace(get_extra_info=lambda name: ours)
        assert not has_unread(transport)  # type: ignore[arg-type]
        theirs.send(b"G")
        assert has_unread(transport)  # type: ignore[arg-type]
        ours.recv(1)
        assert not has_unread(transport)  # type: ignore[arg-type]


# --- headers ---


@both_paths
def test_lines_of_a_list_are_one_list_and_of_single_values_the_first_counts(
    gateway: Gateway, path_kind: bytes
) -> None:
    _, plain, _ = ask(gateway, get(USER, path_kind))
    for lines in (
        (b"Accept-Encoding: gzip\r\n", b"Accept-Encoding: identity\r\n"),
        (b"Accept-Encoding: identity\r\n", b"Accept-Encoding: gzip\r\n"),
    ):
        assert ask(gateway, get(USER, path_kind, *lines))[1]["content-encoding"] == "gzip"
    known = b"If-None-Match: %b\r\n" % plain["etag"].encode()
    for lines in ((known, b'If-None-Match: "x"\r\n'), (b'If-None-Match: "x"\r\n', known)):
        assert ask(gateway, get(USER, path_kind, *lines))[0] == 304
    ids = (b"X-Request-ID: first\r\n", b"X-Request-ID: second\r\n")
    assert ask(gateway, get(USER, path_kind, *ids))[1]["x-request-id"] == "first"


def test_a_preference_counts_in_whatever_line_it_is(gateway: Gateway) -> None:
    lines = (b"Prefer: wait=1\r\n", b"Prefer: respond-async\r\n")
    path = b"/api/v1/users/9/suggested_movies"
    statuses = {ask(gateway, get(path, *order))[0] for order in (lines, lines[::-1])}
    assert len(statuses) == 1


@pytest.mark.parametrize(
    "path", [b"/api/v1/users/9/suggested_movies", b"/api/v1/users/999999/suggested_movies"]
)
def test_errors_have_the_same_headers_on_both_paths(gateway: Gateway, path: bytes) -> None:
    unlike = {"date", "x-request-id"}
    fast, slow = (ask(gateway, get(path, path_kind)) for path_kind in (FAST, PLAIN))
    assert fast[0] == slow[0] >= 400
    assert fast[1]["vary"] == "Origin"
    assert {name: value for name, value in fast[1].items() if name not in unlike} == {
        name: value for name, value in slow[1].items() if name not in unlike
    }
