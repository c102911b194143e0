"""What is wrong is said in one form, and nothing of the inside leaves."""

import uuid
from collections.abc import Iterator

import httpx
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from gateway.http import problems
from shared.contract.kinds import RULES, Kind
from shared.queue.connections import connect
from shared.queue.jobs import fetch_job
from tests.gateway.conftest import TOKEN, Service
from tests.processes import Gateway

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def check(answer: httpx.Response, status: int, slug: str, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    body = answer.json()
    assert body["type"] == f"urn:movierec:problem:{slug}"
    assert body["status"] == status
    for word in words:
        assert word in body["detail"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["users/%d/suggested_movies", "movies/%d/most_similar_movies"])
def test_what_is_unknown_is_said_alike_on_the_fast_path_and_on_the_plain_one(
    client: httpx.Client, path: str
) -> None:
    url = f"/api/v1/{path % 2147483647}"
    fast, plain = client.get(url), client.get(url, headers={"Prefer": "handling=strict"})
    assert (fast.status_code, fast.content) == (plain.status_code, plain.content)
    own = {"date", "x-request-id"}
    heads = [{name: value for name, value in one.headers.items() if name not in own} for one in (fast, plain)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("suffix", ["", "/suggested_movies", "/", "/suggested_movies/"])
def test_unknown_users(client: httpx.Client, suffix: str) -> None:
    check(client.get(f"/api/v1/users/2147483647{suffix}"), 404, "unknown-user", "2147483647")


@pytest.mark.parametrize("suffix", ["", "/most_similar_movies", "/", "/most_similar_movies/"])
def test_unknown_movies(client: httpx.Client, suffix: str) -> None:
    check(client.get(f"/api/v1/movies/2147483647{suffix}"), 404, "unknown-movie", "2147483647")


@pytest.mark.parametrize(
    "subject",
    [
        "abc",
        "0",
        "-1",
        "1.0",
        "1e3",
        "+1",
        "1_0",
        "%201",
        "2147483648",
        "9" * 400,
        "٣",
        "1;DROP TABLE",
        "null",
    ],
)
@pytest.mark.parametrize(
    "path", ["users/{}", "users/{}/suggested_movies", "movies/{}", "movies/{}/most_similar_movies"]
)
def test_ids_that_are_none(client: httpx.Client, path: str, subject: str) -> None:
    check(client.get("/api/v1/" + path.format(subject)), 422, "invalid-request", "_id: ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/v1/users/1", "/api/v1/movies/1/most_similar_movies", "/livez"])
def test_wrong_methods(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    check(answer, 405, "method-not-allowed", method, "GET")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/api/v1", "/api/v2/users/1", "/api/v1/users", "/etc/passwd"])
def test_other_paths(client: httpx.Client, path: str) -> None:
    check(client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"nope", "not JSON"),
        (b"", "required"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "dictionary"),
        (b'{"algorithm": 3}', "algorithm"),
        (b'{"algorithm": "svd", "parameters": {"reg_all": false}}', "reg_all"),
        (b'{"algorithm": "svd", "parameters": {"n_epochs": "5"}}', "n_epochs"),
        (b'{"algorithm": "svd", "parameters": {"n_epochs": 5.5}}', "n_epochs"),
        (b'{"algorithm": "bayes", "parameters": {"movie_features": 1}}', "movie_features"),
        (b'{"parameters": {"n_epochs": 5}}', "n_epochs"),
        (b'{"algorithm": "magic"}', "'magic'"),
        (b'{"algorithm": "svd", "colour": 1}', "colour"),
        (b'{"algorithm": "svd", "parameters": {"n_epochs": 0}}', "n_epochs"),
        (b'{"algorithm": "svd", "parameters": {"n_epoch": 5}}', "n_epoch"),
        (b'{"algorithm": "svd", "parameters": {"lr_all": "fast"}}', "lr_all"),
        (b'{"parameters": {"max_seconds": 1e309}}', "max_seconds: Input should be a finite number"),
        (b'{"parameters": {"max_seconds": NaN}}', "given: nan"),
        (b'{"algorithm": "svd", "parameters": {"reg_all": -Infinity}}', "given: -inf"),
        (b'{"algorithm": Infinity}', "algorithm"),
        (b'{"parameters": {"n_sweeps": 2, "burn_in": 10000}}', "burn_in=10000 leaves no sweep"),
        (b'{"parameters": {"n_sweeps": 9, "n_samples": 9}}', "n_samples=9 are more than the 6 sweeps"),
        (b'{"parameters": {"threads": 1' + b"0" * 60 + b"}}", "threads"),
        (b'{"parameters": {"seed": 1' + b"0" * 5000 + b"}}", ""),
        (b'{"parameters": {"\\ud800": "\\udfff"}}', "unicode"),
        (b'{"algorithm": "\\ud800"}', "There is no algorithm"),
        (b'{"\\ud800": 1}', "unicode"),
        (b'{"parameters": {"n_factors": ' + b"[" * 900 + b"]" * 900 + b"}}", "n_factors"),
        (b'{"parameters": ' + b'{"x":' * 10_000 + b"1" + b"}" * 10_001, ""),
    ],
)
def test_bodies_that_are_wrong(client: httpx.Client, body: bytes, words: str) -> None:
    headers = {**AUTHORIZED, "Content-Type": "application/json"}
    check(client.post("/api/v1/models", content=body, headers=headers), 422, "invalid-request", words)


def test_a_body_must_say_that_it_is_json(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/models", content=b"{}", headers={**AUTHORIZED, "Content-Type": "text/plain"}
    )
    check(answer, 422, "invalid-request", "Content-Type: application/json")


def test_large_bodies(client: httpx.Client) -> None:
    headers = {**AUTHORIZED, "Content-Type": "application/json"}
    check(client.post("/api/v1/models", content=b" " * 70_000, headers=headers), 413, "body-too-large")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    check(client.post("/api/v1/models", content=endless(), headers=headers), 413, "body-too-large")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token-wrong-token"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
    ],
)
def test_writing_needs_the_token(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/models", json={}, headers=headers)
    check(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("job_id", ["x", "0" * 32, "..%5C..%5Cetc", "%2A", "a" * 64])
def test_unknown_jobs(client: httpx.Client, job_id: str) -> None:
    check(client.get(f"/api/v1/jobs/{job_id}"), 404, "unknown-job")


@pytest.mark.parametrize("job_id", ["not-one-of-ours", "A" * 32, "a" * 31, "a" * 33, "0" * 31 + "g"])
def test_jobs_of_others_are_unknown_though_they_are_in_redis(
    client: httpx.Client, service: Service, job_id: str
) -> None:
    with connect(service.redis_url) as redis:
        others = Queue("of-others", connection=redis, serializer=JSONSerializer)
        job = others.enqueue(RULES[Kind.SUGGESTED].job, job_id=job_id)
        try:
            assert fetch_job(job_id, redis), "it is there"
            check(client.get(f"/api/v1/jobs/{job_id}"), 404, "unknown-job", job_id)
        finally:
            job.delete()
            others.delete()


def test_a_job_of_ours_is_known(client: httpx.Client, service: Service) -> None:
    job_id = uuid.uuid4().hex
    with connect(service.redis_url) as redis:
        others = Queue("of-others", connection=redis, serializer=JSONSerializer)
        job = others.enqueue(RULES[Kind.SUGGESTED].job, job_id=job_id)
        try:
            answer = client.get(f"/api/v1/jobs/{job_id}")
            assert (answer.status_code, answer.json()["state"]) == (200, "queued")
        finally:
            job.delete()
            others.delete()


def test_every_problem_has_a_name_of_its_own() -> None:
    kinds = problems.Problem.__subclasses__()
    assert len({kind.slug for kind in kinds}) == len({kind.title for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert (kind.retry_after is not None) == (kind.status == 503)


def test_without_workers_there_is_a_503_at_once(lonely_gateway: Gateway) -> None:
    client = lonely_gateway.client
    for path in ("/api/v1/users/1/suggested_movies", "/api/v1/movies/1/most_similar_movies"):
        answer = client.get(path)
        check(answer, 503, "no-workers")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.elapsed.total_seconds() < 0.4
    assert client.get("/api/v1/movies/1").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert [name for name, check in ready.json()["checks"].items() if not check["ok"]] == [
        "workers",
        "warmer",
        "trainer",
    ]


def test_without_a_token_nobody_writes(lonely_gateway: Gateway) -> None:
    answer = lonely_gateway.client.post("/api/v1/models", json={}, headers=AUTHORIZED)
    check(answer, 403, "writing-disabled", "ADMIN_TOKEN")
