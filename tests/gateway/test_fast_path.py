"""Answers that the fast path gives from memory and from Redis (all paths agree: test_equal_answers.py)."""

import gzip
import socket
import time
from contextlib import ExitStack, closing

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.queue.connections import connect
from shared.rankings.changes import announce_changes
from tests.gateway.conftest import Service
from tests.processes import wait_for

RANKINGS = ["/api/v1/users/2/suggested_movies", "/api/v1/movies/2/most_similar_movies"]
KEPT = [*RANKINGS, "/api/v1/users/2", "/api/v1/movies/2"]


def raw(client: httpx.Client, request: bytes, answers: int = 1) -> list[tuple[bytes, bytes]]:
    """Send bytes on one connection and return head and body of so many answers."""
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    found = []
    with closing(socket.create_connection((host, port), timeout=10)) as connection:
        connection.sendall(request)
        stream = connection.makefile("rb")
        for _ in range(answers):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline()
                assert line, f"the connection was closed after {head!r}"
                head += line
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            found.append((head, stream.read(length)))
    return found


@pytest.fixture
def remembering(service: Service) -> httpx.Client:
    """A gateway that has the answers of KEPT in its memory, and what a hit of it is from: Redis has none."""
    for path in KEPT:
        service.remembering.get(path)
    with connect(service.redis_url) as redis:
        redis.delete(*(keys.ranking(kind, 2)[0] for kind in Kind))
    return service.remembering


@pytest.mark.parametrize("path", RANKINGS)
def test_what_is_compressed_is_the_same_and_smaller(remembering: httpx.Client, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n\r\n"
    ((_, plain),) = raw(remembering, (request % "identity").encode())
    ((head, packed),) = raw(remembering, (request % "gzip").encode())
    assert b"content-encoding: gzip" in head
    assert b"vary: Accept-Encoding" in head
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 3


def test_only_get_without_a_query_is_answered_from_memory(remembering: httpx.Client) -> None:
    path = KEPT[0]
    assert remembering.post(path).status_code == 405
    head = remembering.head(path, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    whole = remembering.get(path, headers={"Accept-Encoding": "identity"})
    assert int(head.headers["Content-Length"]) == len(whole.content)
    assert remembering.get(path + "/").content == whole.content
    assert remembering.get(path, params={"q": 1}).content == whole.content


def test_a_browser_of_another_origin_is_let_in(remembering: httpx.Client) -> None:
    answer = remembering.get(KEPT[0], headers={"Origin": "https://films.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Cache"] == "hit"


def test_request_ids_are_kept_or_made(remembering: httpx.Client) -> None:
    assert remembering.get(KEPT[0], headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = [
        remembering.get(KEPT[0], headers={"X-Request-ID": "no good"}).headers["X-Request-ID"]
        for _ in range(3)
    ]
    assert len(set(made)) == 3
    assert "no good" not in made


def test_a_connection_goes_on_after_an_answer_from_memory_and_after_any_other(
    remembering: httpx.Client,
) -> None:
    """Several requests at once on one connection (RFC 9112, 9.3.2) are answered in their order."""
    paths = [KEPT[0], "/livez", KEPT[1], "/api/v1/users/0", KEPT[2], KEPT[3], "/nothing", KEPT[0]]
    request = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    answers = raw(remembering, request, len(paths))
    assert [int(head.split()[1]) for head, _ in answers] == [200, 200, 200, 422, 200, 200, 404, 200]
    for path, (_, body) in zip(paths, answers, strict=True):
        assert body == remembering.get(path, headers={"Accept-Encoding": "identity"}).content


def test_one_who_wants_the_connection_closed_gets_that(remembering: httpx.Client) -> None:
    for version, header in ((b"1.1", b"Connection: close\r\n"), (b"1.0", b"")):
        request = b"GET %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (KEPT[0].encode(), version, header)
        ((head, body),) = raw(remembering, request)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head.lower()
        assert body == remembering.get(KEPT[0]).content


def test_idle_connections_are_closed_and_busy_ones_are_not(remembering: httpx.Client) -> None:
    """KEEP_ALIVE is five seconds, whichever path the last answer took; a client that asks again stays."""
    host, port = remembering.base_url.host, remembering.base_url.port
    request = "GET {} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"
    with ExitStack() as opened:

        def ask(path: str) -> socket.socket:
            connection = opened.enter_context(socket.create_connection((str(host), port), timeout=20))
            connection.sendall(request.format(path).encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1")
            return connection

        idle = [ask(KEPT[0]), ask("/api/v1/movies?limit=1"), ask("/api/v1/users/9/suggested_movies")]
        busy = ask(KEPT[0])
        began = time.monotonic()
        while any(not _is_closed(connection) for connection in idle):
            busy.sendall(request.format(KEPT[0]).encode())
            assert busy.recv(65536).startswith(b"HTTP/1.1 304")
            assert time.monotonic() - began < 20
            time.sleep(0.2)
        assert time.monotonic() - began > 4


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KEPT),
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"Accept", b"Accept-Encoding", b"If-None-Match", b"X-Request-ID", b"Connection", b"Range"]
            ),
            st.binary(max_size=30).map(lambda value: value.translate(None, b"\r\n\0").strip()),
        ),
        max_size=4,
    ),
)
def test_no_header_makes_it_fail(service: Service, path: str, fields: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    request = b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path.encode(), lines)
    statuses = {
        int(raw(client, request)[0][0].split()[1]) for client in (service.remembering, service.client)
    }
    assert len(statuses) == 1, "from memory or not, it is answered alike"
    assert statuses <= {200, 304, 400}


def test_changed_ratings_are_seen_within_a_second(service: Service) -> None:
    path, user_id = "/api/v1/users/5/suggested_movies", 5
    client = service.remembering
    client.get(path)
    assert client.get(path).headers["X-Cache"] == "hit"
    with connect(service.redis_url) as redis:
        announce_changes(redis, redis, [user_id])
        wait_for(lambda: client.get(path).headers["X-Cache"] == "miss", "it is computed again", 1)
        assert client.get(path).headers["X-Cache"] == "hit"
        # The other gateway has nothing in its memory and finds the new one.
        assert service.client.get(path).headers["X-Cache"] == "hit"
        stored = redis.hget(keys.ranking(Kind.SUGGESTED, user_id)[0], keys.CHANGES_FIELD)
        assert int(stored or 0) >= 1


def test_what_others_computed_from_older_ratings_is_not_taken(service: Service) -> None:
    path = "/api/v1/users/6/suggested_movies"
    first = service.client.get(path)
    key, field = keys.ranking(Kind.SUGGESTED, 6)
    with connect(service.redis_url) as redis:
        redis.hincrby(key, keys.CHANGES_FIELD, 1)  # changed, and the news has not come yet
        again = service.client.get(path)
        assert again.headers["X-Cache"] == "miss"
        assert again.content == first.content  # nothing changed really
        assert redis.hget(key, field) is not None
    assert service.client.get(path).headers["X-Cache"] == "hit"


def test_what_workers_did_is_counted(service: Service) -> None:
    with connect(service.redis_url) as redis:
        redis.delete(keys.ranking(Kind.SUGGESTED, 8)[0])
        before = int(redis.hget(keys.COUNTERS, keys.Counter.COMPUTED) or 0)
    assert service.client.get("/api/v1/users/8/suggested_movies").headers["X-Cache"] == "miss"
    wait_for(
        lambda: service.client.get("/readyz").json()["counters"]["computed"] == before + 1, "it is counted"
    )
