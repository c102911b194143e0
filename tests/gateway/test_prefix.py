"""Below a path of a proxy every link leads where it should, and nobody else can choose that path."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.http import urls
from gateway.http.path_prefix import Prefix, without_prefix
from shared.contract import keys
from shared.contract.kinds import Kind
from shared.errors import ConfigurationError
from shared.queue.connections import connect
from shared.settings import GatewaySettings, load
from tests.conftest import Trained
from tests.gateway.conftest import TOKEN, Service
from tests.processes import Gateway, wait_for

MOUNT = "/films/v2"


@pytest.fixture(scope="module")
def mounted(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that hardly waits, so that it says where an answer will be."""
    settings = {"DATA_DIR": str(service.trained.data_dir), "QUEUE_URL": service.redis_url}
    log = tmp_path_factory.mktemp("mounted") / "gateway.log"
    with Gateway(log=log, ROOT_PATH=MOUNT, WAIT_BUDGET="0.0001", LOCAL_CACHE_MB="0", **settings) as gateway:
        gateway.wait_until_ready(2)
        yield gateway


@pytest.fixture(params=["", MOUNT], ids=["a proxy that takes the path away", "one that does not"])
def below(request: pytest.FixtureRequest) -> str:
    """What the gateway gets before its own path."""
    prefix: str = request.param
    return prefix


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}], ids=["before the framework", "routes"])
@pytest.mark.parametrize("user_id", [31, 32])
def test_links_to_what_is_being_computed(
    mounted: Gateway, service: Service, below: str, headers: dict[str, str], user_id: int
) -> None:
    with connect(service.redis_url) as redis:
        redis.delete(keys.ranking(Kind.SUGGESTED, user_id)[0])
    path = f"/api/v1/users/{user_id}/suggested_movies"
    answer = mounted.client.get(below + path, headers=headers)
    assert answer.status_code == 202
    job = answer.headers["Location"]
    assert job.startswith(f"{MOUNT}/api/v1/jobs/")
    assert answer.json() == {"job": job, "result": MOUNT + path}
    # Both lead there, by way of the proxy and without it; so little was waited that it may not be queued yet.
    wait_for(lambda: mounted.client.get(job).status_code == 200, "the job is found")
    assert mounted.client.get(job.removeprefix(MOUNT)).status_code == 200
    assert mounted.client.get(f"{MOUNT}{path}/").status_code in {200, 202}


def test_the_documentation_finds_its_parts(mounted: Gateway, below: str) -> None:
    client = mounted.client
    for start in ("/", "") if below else ("/",):
        answer = client.get(below + start)
        assert (answer.status_code, answer.headers["Location"]) == (307, f"{MOUNT}/docs")
    for page in ("/docs", "/docs/", "/redoc"):
        html = client.get(below + page).text
        assert f'"{MOUNT}/openapi.json"' in html
        assert html.count(f'"{MOUNT}/docs/') >= 3
        assert '"/' not in html.replace(f'"{MOUNT}/', "")
    assert client.get(f"{below}/docs/swagger.js").status_code == 200
    document = client.get(f"{below}/openapi.json").json()
    assert document["servers"] == [{"url": MOUNT}]
    assert "/api/v1/movies/{movie_id}" in document["paths"]
    missing = client.get(f"{below}/nothing")
    assert missing.status_code == 404
    assert f"{MOUNT}/docs" in missing.json()["detail"]
    assert client.delete(f"{below}/api/v1/movies/1").headers["Allow"] == "GET, HEAD, OPTIONS"
    assert client.get(f"{below}/livez").status_code == 200


def test_links_to_trainings(trained: Trained, redis_url: str, tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "ADMIN_TOKEN": TOKEN}
    asked = {"Authorization": f"Bearer {TOKEN}"}
    with Gateway(log=tmp_path / "gateway.log", ROOT_PATH=MOUNT, **settings) as gateway:
        first, second = (gateway.client.post("/api/v1/models", json={}, headers=asked) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 409)
        job = first.headers["Location"]
        assert job.startswith(f"{MOUNT}/api/v1/jobs/")
        assert first.json()["job"] == second.json()["job"] == second.headers["Location"] == job
        assert job in second.json()["detail"]
        assert gateway.client.get(job).json()["state"] == "queued"


def test_a_trusted_header_names_the_path_and_others_do_not(
    service: Service, mounted: Gateway, tmp_path: Path
) -> None:
    settings = {"DATA_DIR": str(service.trained.data_dir), "QUEUE_URL": service.redis_url}
    asked = {"X-Forwarded-Prefix": "/elsewhere"}
    assert mounted.client.get("/", headers=asked).headers["Location"] == f"{MOUNT}/docs"
    trusting = {"FORWARDED_PREFIX": "true", "ROOT_PATH": "/usual", "WAIT_BUDGET": "0.0001", **settings}
    with Gateway(log=tmp_path / "gateway.log", **trusting) as gateway:
        gateway.wait_until_ready(2)
        assert gateway.client.get("/").headers["Location"] == "/usual/docs"
        assert gateway.client.get("/", headers=asked).headers["Location"] == "/elsewhere/docs"
        for path in ("/openapi.json", "/elsewhere/openapi.json"):
            document = gateway.client.get(path, headers=asked).json()
            assert document["servers"] == [{"url": "/elsewhere"}]
        with connect(service.redis_url) as redis:
            redis.delete(keys.ranking(Kind.SUGGESTED, 33)[0])
        answer = gateway.client.get("/api/v1/users/33/suggested_movies", headers=asked)
        assert answer.status_code == 202
        assert answer.headers["Location"].startswith("/elsewhere/api/v1/jobs/")
        for hostile in ("//evil.example", "/a//b", "https://evil.example", "/..", '/"><script>', "x"):
            found = gateway.client.get("/", headers={"X-Forwarded-Prefix": hostile})
            assert found.headers["Location"] == "/usual/docs", hostile


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        (b"/films", "/films"),
        (b"/films/", "/films"),
        (b" /a/b_c/d-e.f~1 ", "/a/b_c/d-e.f~1"),
        (b"/", ""),
        (b"", ""),
        (b"films", None),
        (b"//films", None),
        (b"/films//x", None),
        (b"/films//", None),
        (b"/\\evil.example", None),
        (b"/a/../b", None),
        (b"/.", None),
        (b"/a%0d%0aSet-Cookie:x", None),
        (b"/a\r\nSet-Cookie: x", None),
        (b"/a\n", "/a"),
        (b"/a b", None),
        (b"/a?b", None),
        (b"/a#b", None),
        (b"/a,/b", None),
        (b'/"', None),
        (b"/\xe9", None),
        ("/é".encode(), None),
        (b"/" + b"a" * 65, None),
        (b"/a" * 17, None),
    ],
)
def test_which_headers_count(value: bytes, prefix: str | None) -> None:
    headers = [(b"host", b"x"), (b"x-forwarded-prefix", value)]
    assert Prefix("/usual", trusting=True).of(headers) == ("/usual" if prefix is None else prefix)
    assert Prefix("/usual", trusting=False).of(headers) == "/usual"
    twice = [*headers, (b"x-forwarded-prefix", b"/second")]
    assert Prefix("/usual", trusting=True).of(twice) == "/usual"


@pytest.mark.parametrize(
    ("path", "prefix", "own"),
    [
        ("/films/api/v1/movies/1", "/films", "/api/v1/movies/1"),
        ("/api/v1/movies/1", "/films", "/api/v1/movies/1"),
        ("/films", "/films", "/"),
        ("/films/", "/films", "/"),
        ("/filmsapi/v1/movies/1", "/films", "/filmsapi/v1/movies/1"),
        ("/films/nothing", "/films", "/films/nothing"),
        # Prefixes that look like a part of our own paths.
        ("/api/v1/movies/1", "/api", "/api/v1/movies/1"),
        ("/api/api/v1/movies/1", "/api", "/api/v1/movies/1"),
        ("/api/v1/movies/1", "/api/v1", "/api/v1/movies/1"),
        ("/api/v1/api/v1/movies/1", "/api/v1", "/api/v1/movies/1"),
        ("/api/docs", "/api", "/docs"),
        ("/docs", "/api", "/docs"),
        ("/api/v1/movies/1", "", "/api/v1/movies/1"),
    ],
)
def test_the_prefix_is_taken_away_once(path: str, prefix: str, own: str) -> None:
    assert without_prefix(path, prefix) == own


def test_every_route_counts_as_ours() -> None:
    document = create_app(GatewaySettings()).openapi()
    for path in [*document["paths"], "/", "/docs", "/docs/swagger.js", "/redoc", "/openapi.json"]:
        assert urls.is_ours(path)
        assert urls.is_ours(path + "/")
    assert not urls.is_ours("/api/v2")


@pytest.mark.parametrize("value", ["films", "/films/", "/", "//films", "/a b", "/a\n", "/..", "https://x"])
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ROOT_PATH", value)
    with pytest.raises(ConfigurationError, match=r"ROOT_PATH: .* looks like /movies"):
        load(GatewaySettings)
