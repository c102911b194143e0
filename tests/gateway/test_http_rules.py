"""What HTTP and browsers expect of every answer, also of those that no route gives."""

import asyncio

import httpx
import pytest

from gateway.app import create_app
from shared.algorithms import CONFIGS
from shared.settings import GatewaySettings
from tests.gateway.conftest import TOKEN
from tests.gateway.test_problems import check
from tests.processes import Gateway

ELSEWHERE = {"Origin": "https://films.example"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/models", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/models/current", "GET, HEAD, OPTIONS"),
        ("/api/v1/users/1/suggested_movies", "GET, HEAD, OPTIONS"),
        ("/api/v1/users/none", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_allow_names_what_really_works(client: httpx.Client, path: str, slash: str, methods: str) -> None:
    asked = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
    answers = {method: client.request(method, path + slash) for method in asked}
    works = [method for method, answer in answers.items() if answer.status_code != 405]
    assert ", ".join(sorted(works)) == methods
    for method, answer in answers.items():
        if method not in works:
            check(answer, 405, "method-not-allowed", method, methods)
            assert answer.headers["Allow"] == methods
    assert answers["OPTIONS"].status_code == 204
    assert answers["OPTIONS"].headers["Allow"] == methods
    assert answers["OPTIONS"].content == b""


def test_nothing_can_be_done_where_nothing_is(client: httpx.Client) -> None:
    check(client.options("/nothing"), 404, "not-found")


def broken(**headers: str) -> httpx.Response:
    """Return what a gateway says whose code has a mistake; the exception must not go further."""
    app = create_app(GatewaySettings())

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret of the inside")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get("/broken", headers=headers)

    return asyncio.run(ask())


def test_our_mistakes_have_an_id_and_are_shown_to_pages_from_elsewhere() -> None:
    answer = broken(**ELSEWHERE, **{"X-Request-ID": "mine-1"})
    check(answer, 500, "internal-error")
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "secret" not in answer.text


def test_every_error_is_shown_to_pages_from_elsewhere(client: httpx.Client) -> None:
    asked = {**ELSEWHERE, **JSON, "Authorization": f"Bearer {TOKEN}"}
    for answer, status in (
        (client.post("/api/v1/models", content=b" " * 70_000, headers=asked), 413),
        (client.post("/api/v1/models", content=b"nope", headers=asked), 422),
        (client.post("/api/v1/models", content=b"{}", headers={**asked, "Authorization": ""}), 401),
        (client.get("/nothing", headers=asked), 404),
        (client.delete("/livez", headers=asked), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("content", [b"nope", b"", b"[1]", b'{"algorithm": "magic"}', b"\xff"])
def test_strangers_hear_of_the_token_before_anything_about_their_body(
    client: httpx.Client, lonely_gateway: Gateway, content: bytes
) -> None:
    for headers in (JSON, {"Content-Type": "text/plain"}, {**JSON, "Authorization": "Bearer " + "x" * 20}):
        check(client.post("/api/v1/models", content=content, headers=headers), 401, "unauthorized")
        answer = lonely_gateway.client.post("/api/v1/models", content=content, headers=headers)
        check(answer, 403, "writing-disabled")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"Access-Control-Request-Method": "DELETE"}, "method"),
        ({"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "X-Other"}, "headers"),
    ],
)
def test_a_refused_preflight_is_a_problem(client: httpx.Client, asked: dict[str, str], word: str) -> None:
    answer = client.options("/api/v1/models", headers={**ELSEWHERE, **asked})
    check(answer, 400, "preflight-refused", word)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert "Origin" in answer.headers["Vary"]


def test_a_list_may_stand_in_several_lines(client: httpx.Client) -> None:
    path = "/api/v1/movies/1/most_similar_movies"
    tag = client.get(path, headers={"Accept-Encoding": "identity"}).headers["ETag"]

    def ask(*lines: tuple[str, str]) -> httpx.Response:
        request = client.build_request("GET", path)
        # The preference has it answered by the framework; for the other path see test_equal_answers.py.
        request.headers = httpx.Headers([("Host", "x"), ("Prefer", "handling=strict"), *lines])
        return client.send(request)

    assert "Content-Encoding" in ask(("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")).headers
    assert "Content-Encoding" not in ask(("Accept-Encoding", "*"), ("Accept-Encoding", "gzip;q=0")).headers
    assert ask(("If-None-Match", '"x"'), ("If-None-Match", tag)).status_code == 304
    assert ask(("If-None-Match", tag), ("If-None-Match", '"x"')).status_code == 304


def test_the_document_says_what_is_sent(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    bounds = {"type": "integer", "minimum": 1, "maximum": 2147483647}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in {"user_id", "movie_id"}:
                    assert bounds.items() <= parameter["schema"].items()
                assert not {"ge", "le", "gt", "lt"} & set(parameter["schema"])
            for status, response in operation["responses"].items():
                if int(status) >= 400 and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    described = {
        training["properties"]["algorithm"]["enum"][0]: set(
            training["properties"]["parameters"]["properties"]
        )
        for training in document["components"]["schemas"]["TrainingRequest"]["oneOf"]
    }
    assert described == {name: set(config.model_fields) for name, config in CONFIGS.items()}
    assert document["paths"]["/api/v1/models"]["post"]["security"] == [{"HTTPBearer": []}]
