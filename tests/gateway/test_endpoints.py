"""The four endpoints, through gateway, queue, worker and cache."""

import csv
import json
from pathlib import Path

import httpx
import pandas as pd
import pytest

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.database import bulk
from shared.queue.connections import connect
from tests.conftest import rank
from tests.gateway.conftest import Service
from tests.surprise_reference import surprise_with
from worker.models.svd import SvdModel
from worker.serving import Serving
from worker.training.pipeline import training_data


@pytest.fixture(scope="module")
def ratings(service: Service) -> pd.DataFrame:
    return bulk.read_dataset(service.trained.engine)[1].ratings


@pytest.fixture(scope="module")
def titles(movielens_dir: Path) -> dict[int, tuple[str, list[str]]]:
    """Titles and genres by an independent reading of the file."""
    with (movielens_dir / "movies.csv").open(encoding="utf-8", newline="") as file:
        return {
            int(row["movieId"]): (
                row["title"].strip(),
                [] if row["genres"] == "(no genres listed)" else row["genres"].split("|"),
            )
            for row in csv.DictReader(file)
        }


def test_a_user_has_what_the_file_says(
    client: httpx.Client, movielens_dir: Path, titles: dict[int, tuple[str, list[str]]]
) -> None:
    tags: dict[tuple[int, int], list[tuple[int, str]]] = {}
    with (movielens_dir / "tags.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            owner = int(row["userId"]), int(row["movieId"])
            tags.setdefault(owner, []).append((int(row["timestamp"]), row["tag"].strip()))
    rated: dict[int, list[tuple[float, int]]] = {}
    with (movielens_dir / "ratings.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rated.setdefault(int(row["userId"]), []).append((float(row["rating"]), int(row["movieId"])))
    tagging = {user for user, movie in tags if movie in {other for _, other in rated.get(user, [])}}
    for user_id in [*sorted(rated)[:3], *sorted(tagging)[:3]]:
        expected = [
            {
                "movieId": movie_id,
                "rating": rating,
                "tags": [tag for _, tag in sorted(tags.get((user_id, movie_id), []))],
                "title": titles[movie_id][0],
                "genres": titles[movie_id][1],
            }
            for rating, movie_id in sorted(rated[user_id], key=lambda pair: (-pair[0], pair[1]))
        ]
        assert client.get(f"/api/v1/users/{user_id}").json() == {"id": user_id, "movies": expected}


def test_every_movie_is_as_in_the_file(
    client: httpx.Client, titles: dict[int, tuple[str, list[str]]]
) -> None:
    unusual = [movie_id for movie_id, (title, _) in titles.items() if not title.isascii() or '"' in title]
    no_genres = [movie_id for movie_id, (_, genres) in titles.items() if not genres]
    for movie_id in [*list(titles)[:20], *unusual[:20], *no_genres[:5]]:
        title, genres = titles[movie_id]
        answer = client.get(f"/api/v1/movies/{movie_id}").json()
        assert answer == {"id": movie_id, "title": title, "genres": genres}


def test_suggestions_are_what_the_model_says(
    client: httpx.Client, serving: Serving, ratings: pd.DataFrame
) -> None:
    user_ids = sorted(ratings["user_id"].unique().tolist())[:10]
    for user_id, expected in zip(user_ids, rank(serving, Kind.SUGGESTED, user_ids), strict=True):
        movies = client.get(f"/api/v1/users/{user_id}/suggested_movies").json()["suggested_movies"]
        assert [movie["id"] for movie in movies] == list(expected.movie_ids)
        assert [round(movie["estimated_score"] * 1000) for movie in movies] == list(expected.scores)
        assert not {movie["id"] for movie in movies} & set(
            ratings.loc[ratings["user_id"] == user_id, "movie_id"]
        )


def test_suggestions_are_what_surprise_predicts_with_the_stored_model(
    client: httpx.Client, service: Service, ratings: pd.DataFrame
) -> None:
    """From the answer back to Surprise: the same ids and the same three decimals."""
    trained = service.trained
    data = training_data(bulk.read_dataset(trained.engine)[1])
    algorithm = surprise_with(SvdModel.load(trained.store.path(trained.manifest.version)), data)
    movie_ids = data.catalogue.movie_ids.tolist()
    for user, user_id in enumerate(data.user_ids[:10].tolist()):
        rated = set(ratings.loc[ratings["user_id"] == user_id, "movie_id"])
        predicted = {
            movie_ids[movie]: algorithm.predict(user, movie, clip=False).est
            for movie in range(len(movie_ids))
            if movie_ids[movie] not in rated
        }
        expected = sorted(predicted, key=lambda movie_id: -predicted[movie_id])[:150]
        movies = client.get(f"/api/v1/users/{user_id}/suggested_movies").json()["suggested_movies"]
        assert [movie["id"] for movie in movies] == expected
        assert [f"{movie['estimated_score']:.3f}" for movie in movies] == [
            f"{min(5.0, max(data.scale[0], predicted[movie_id])):.3f}" for movie_id in expected
        ]


def test_similar_movies_have_true_ids_and_share_genres(
    client: httpx.Client, titles: dict[int, tuple[str, list[str]]]
) -> None:
    with_genres = [movie_id for movie_id, (_, genres) in titles.items() if genres]
    for movie_id in with_genres[:10]:
        similar = client.get(f"/api/v1/movies/{movie_id}/most_similar_movies").json()["most_similar_movies"]
        assert 0 < len(similar) <= 100
        cosines = [movie["cosine_similarity"] for movie in similar]
        assert cosines == sorted(cosines, reverse=True)
        assert all(0 <= cosine <= 1 for cosine in cosines)
        for movie in similar:
            assert movie["id"] != movie_id
            assert (movie["title"], movie["genres"]) == titles[movie["id"]]
            assert set(movie["genres"]) & set(titles[movie_id][1])


def test_decimals_are_as_promised(client: httpx.Client) -> None:
    for path, name, decimals in (
        ("/api/v1/users/1/suggested_movies", "estimated_score", 3),
        ("/api/v1/movies/1/most_similar_movies", "cosine_similarity", 2),
    ):
        text = client.get(path).text
        parts = text.split(f'"{name}":')[1:]
        assert parts
        assert {len(part.split("}")[0].split(".")[1]) for part in parts} == {decimals}


PATHS = [
    "/api/v1/users/1",
    "/api/v1/users/1/suggested_movies",
    "/api/v1/movies/1",
    "/api/v1/movies/1/most_similar_movies",
]


@pytest.mark.parametrize("path", [*PATHS, "/api/v1/models", "/livez"])
def test_both_slash_forms_and_head(client: httpx.Client, path: str) -> None:
    asked = {"Accept-Encoding": "identity"}
    plain, slashed, head = (
        client.request(method, address, headers=asked)
        for method, address in (("GET", path), ("GET", path + "/"), ("HEAD", path))
    )
    assert plain.status_code == slashed.status_code == head.status_code == 200
    assert plain.content == slashed.content
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(plain.content))


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_its_headers(client: httpx.Client, service: Service, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Model-Version"] == service.trained.manifest.version
    assert headers["X-Cache"] in {"hit", "miss"}
    assert headers["X-Request-ID"]
    assert headers["ETag"]
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
def test_what_has_not_changed_is_not_sent(client: httpx.Client, path: str) -> None:
    tag = client.get(path).headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [PATHS[1], PATHS[3]])
def test_a_hit_is_the_miss_again(client: httpx.Client, service: Service, path: str) -> None:
    kind = Kind.SUGGESTED if "suggested" in path else Kind.SIMILAR
    with connect(service.redis_url) as redis:
        redis.delete(keys.ranking(kind, 1)[0])
    miss, hit = client.get(path), client.get(path)
    assert [miss.headers["X-Cache"], hit.headers["X-Cache"]] == ["miss", "hit"]
    assert miss.content == hit.content
    assert miss.headers["X-Model-Version"] == service.trained.manifest.version


@pytest.mark.parametrize("kind", list(Kind))
def test_a_stale_ranking_is_computed_again(client: httpx.Client, service: Service, kind: Kind) -> None:
    path = PATHS[1] if kind is Kind.SUGGESTED else PATHS[3]
    good = client.get(path)
    key, field = keys.ranking(kind, 1)
    from shared.rankings.ranking import Ranking

    with connect(service.redis_url) as redis:
        manifest = service.trained.manifest
        for version, fingerprint in (
            (manifest.version, "0123456789abcdef"),
            ("20200101T000000Z-svd-000000", manifest.data.fingerprint),
        ):
            redis.hset(key, field, Ranking(version, fingerprint, 3, [1], [1]).to_bytes())
            answer = client.get(path)
            assert (answer.headers["X-Cache"], answer.content) == ("miss", good.content)
        redis.hset(key, field, b"\xff not a ranking")
        assert client.get(path).content == good.content


def test_a_browser_may_call_from_anywhere(client: httpx.Client) -> None:
    answer = client.get(PATHS[2], headers={"Origin": "https://example.org"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Model-Version" in answer.headers["Access-Control-Expose-Headers"]
    preflight = client.options(
        PATHS[2],
        headers={
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert preflight.status_code == 200


def test_a_request_has_an_id(client: httpx.Client) -> None:
    assert client.get(PATHS[2], headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    made = {client.get(PATHS[2]).headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3
    for hostile in ("x" * 65, "a b", "<script>"):
        assert client.get(PATHS[2], headers={"X-Request-ID": hostile}).headers["X-Request-ID"] != hostile


def test_whoever_does_not_want_to_wait_gets_a_job(client: httpx.Client, service: Service) -> None:
    with connect(service.redis_url) as redis:
        redis.delete(keys.ranking(Kind.SUGGESTED, 3)[0])
    path = "/api/v1/users/3/suggested_movies"
    answer = client.get(path, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["Retry-After"] == "1"
    job = answer.headers["Location"]
    assert answer.json() == {"job": job, "result": path}
    from tests.processes import wait_for

    def finished() -> bool:
        state = client.get(job)
        return state.status_code == 200 and state.json()["state"] == "finished"

    wait_for(finished, "the job is finished")
    assert client.get(path, headers={"Prefer": "respond-async"}).headers["X-Cache"] == "hit"


def test_the_documentation_has_an_example_for_every_endpoint(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path in (
        "/api/v1/users/{user_id}",
        "/api/v1/users/{user_id}/suggested_movies",
        "/api/v1/movies/{movie_id}",
        "/api/v1/movies/{movie_id}/most_similar_movies",
    ):
        responses = document["paths"][path]["get"]["responses"]
        assert "example" in responses["200"]["content"]["application/json"]
        assert {"404", "422", "500"} <= set(responses)
        for status in ("404", "422"):
            assert "application/problem+json" in responses[status]["content"]
    assert "ProblemBody" in document["components"]["schemas"]
    references = [part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]]
    assert set(references) <= set(document["components"]["schemas"])
    assert client.get("/docs").status_code == 200
    assert client.get("/", follow_redirects=False).headers["Location"] == "/docs"
