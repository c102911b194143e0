"""Gateways under unusual conditions: no worker answers, many ask at once, Redis is away."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.queue.connections import connect
from shared.queue.heartbeat import Heartbeat
from shared.queue.jobs import open_queue
from shared.rankings import claims
from shared.rankings.ranking import Ranking
from shared.rankings.store import write_rankings
from shared.redis_server.server import RedisServer
from tests.conftest import Trained, rank
from tests.gateway.conftest import Service
from tests.processes import Command, Gateway, wait_for
from worker.serving import Serving

FAKE = "f" * 32


@pytest.fixture
def fake_worker(redis_client: redis.Redis, trained: Trained) -> Heartbeat:
    """A worker that says it lives, and never works."""
    heartbeat = Heartbeat(
        worker_id=FAKE,
        queue=QueueName.SERVE,
        host="here",
        pid=1,
        model_version=trained.manifest.version,
    )
    with redis_client.pipeline() as pipeline:
        pipeline.set(keys.worker(FAKE), heartbeat.model_dump_json())
        pipeline.sadd(keys.workers(QueueName.SERVE), FAKE)
        pipeline.execute()
    return heartbeat


def test_when_nobody_answers_in_time_there_is_a_202(
    fake_worker: Heartbeat, lonely_gateway: Gateway, redis_client: redis.Redis
) -> None:
    lonely_gateway.wait_until_ready(1)
    answer = lonely_gateway.client.get("/api/v1/users/1/suggested_movies")
    assert answer.status_code == 202
    assert 0.4 < answer.elapsed.total_seconds() < 2
    job = lonely_gateway.client.get(answer.headers["Location"]).json()
    assert job["state"] == "queued"


def test_a_question_waits_once_however_often_it_is_asked(
    fake_worker: Heartbeat, lonely_gateway: Gateway, redis_client: redis.Redis
) -> None:
    lonely_gateway.wait_until_ready(1)
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda _: lonely_gateway.client.get("/api/v1/users/1/suggested_movies"), range(20))
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(open_queue(QueueName.SERVE, redis_client)) == 1


def test_two_gateways_ask_once(
    fake_worker: Heartbeat,
    lonely_gateway: Gateway,
    redis_client: redis.Redis,
    trained: Trained,
    redis_url: str,
    tmp_path: Path,
) -> None:
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "WAIT_BUDGET": "0.5"}
    with Gateway(log=tmp_path / "second.log", **settings) as second:
        for gateway in (lonely_gateway, second):
            gateway.wait_until_ready(1)
        first_answer = lonely_gateway.client.get("/api/v1/users/1/suggested_movies")
        second_answer = second.client.get("/api/v1/users/1/suggested_movies")
    assert first_answer.headers["Location"] == second_answer.headers["Location"]
    assert len(open_queue(QueueName.SERVE, redis_client)) == 1


def test_the_second_gateway_is_answered_by_the_first_ones_job(service: Service, tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(service.trained.data_dir), "QUEUE_URL": service.redis_url}
    with Gateway(log=tmp_path / "second.log", **settings) as second:
        second.wait_until_ready(2)
        with connect(service.redis_url) as client:
            client.delete(keys.ranking(Kind.SUGGESTED, 4)[0])
            before = client.hget(keys.COUNTERS, keys.Counter.COMPUTED)
        paths = ["/api/v1/users/4/suggested_movies"] * 2
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda pair: pair[0].get(pair[1]),
                    zip((service.client, second.client), paths, strict=True),
                )
            )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    with connect(service.redis_url) as client:
        after = client.hget(keys.COUNTERS, keys.Counter.COMPUTED)
    assert int(after or 0) == int(before or 0) + 1


@pytest.mark.parametrize("written", [True, False])
def test_a_claim_that_comes_after_another_gateways_answer(
    written: bool,
    fake_worker: Heartbeat,
    redis_client: redis.Redis,
    redis_url: str,
    trained: Trained,
    serving: Serving,
    tmp_path: Path,
) -> None:
    """The answer was written between a look into the cache and the claim: it is taken, not computed again."""
    cache_server = RedisServer(tmp_path / "cache")
    cache_server.start()
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "CACHE_URL": cache_server.url}
    with ExitStack() as stack:
        stack.callback(cache_server.stop)
        cache = stack.enter_context(connect(cache_server.url))
        log = tmp_path / "gateway.log"
        gateway = stack.enter_context(Gateway(log=log, WAIT_BUDGET="1.5", **settings))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        gateway.wait_until_ready(1)
        redis_client.set(keys.claim(Kind.SUGGESTED, 1), claims.SETTLED)
        redis_client.client_pause(500)
        asked = pool.submit(gateway.client.get, "/api/v1/users/1/suggested_movies")
        wait_for(lambda: "cmdstat_hmget" in cache.info("commandstats"), "it looked into the cache")
        if written:
            (ranking,) = rank(serving, Kind.SUGGESTED, [1])
            write_rankings(cache, [(Question(Kind.SUGGESTED, 1), ranking)])
        answer = asked.result()
    assert answer.status_code == (200 if written else 202), answer.text
    # Where nobody works, it is asked again after a second.
    assert (len(open_queue(QueueName.SERVE, redis_client)) == 0) is written
    assert (redis_client.get(keys.claim(Kind.SUGGESTED, 1)) == claims.SETTLED) is written


def test_many_users_at_once_share_jobs_and_all_are_answered(service: Service, serving: Serving) -> None:
    users = list(range(1, 201))
    with connect(service.redis_url) as client:
        for user_id in users:
            client.delete(keys.ranking(Kind.SUGGESTED, user_id)[0])

        async def ask() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=200)
            async with httpx.AsyncClient(
                base_url=service.client.base_url, timeout=30, limits=limits, trust_env=False
            ) as asking:
                paths = [f"/api/v1/users/{user_id}/suggested_movies" for user_id in users]
                return await asyncio.gather(*(asking.get(path) for path in paths))

        answers = asyncio.run(ask())
        assert {answer.status_code for answer in answers} == {200}
        for user_id, expected in zip(users[:20], rank(serving, Kind.SUGGESTED, users[:20]), strict=True):
            movies = answers[user_id - 1].json()["suggested_movies"]
            assert [movie["id"] for movie in movies] == list(expected.movie_ids)
        wait_for(lambda: not client.keys("movierec:claim:*"), "no claim is left")


def test_a_full_queue_refuses(
    fake_worker: Heartbeat, redis_client: redis.Redis, redis_url: str, trained: Trained, tmp_path: Path
) -> None:
    redis_client.rpush("rq:queue:serve", "a", "b", "c")
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "QUEUE_CAP": "2"}
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway:
        gateway.wait_until_ready(1)
        answer = gateway.client.get("/api/v1/users/1/suggested_movies")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:movierec:problem:queue-full")
    assert answer.headers["Retry-After"]


def test_a_training_gives_way_to_questions_of_users(
    fake_worker: Heartbeat, redis_client: redis.Redis, redis_url: str, trained: Trained, tmp_path: Path
) -> None:
    redis_client.rpush("rq:queue:serve", "a", "b")
    token = "a-token-for-this-test-only"
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "QUEUE_CAP": "3"}
    with Gateway(log=tmp_path / "gateway.log", ADMIN_TOKEN=token, **settings) as gateway:
        gateway.wait_until_ready(1)
        headers = {"Authorization": f"Bearer {token}"}
        refused = gateway.client.post("/api/v1/models", json={}, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:movierec:problem:queue-full")
        assert int(refused.headers["Retry-After"]) >= 1
        redis_client.delete("rq:queue:serve")
        wait_for(
            lambda: gateway.client.post("/api/v1/models", json={}, headers=headers).status_code == 202,
            "it is accepted",
        )


def test_when_redis_is_away_it_is_said_and_when_it_is_back_it_works(trained: Trained, tmp_path: Path) -> None:
    from shared.redis_server.server import RedisServer

    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": server.url}
        with (
            Command(
                "worker", log=tmp_path / "worker.log", HEARTBEAT_FILE=str(tmp_path / "alive"), **settings
            ),
            Gateway(log=tmp_path / "gateway.log", **settings) as gateway,
        ):
            gateway.wait_until_ready(1)
            client = gateway.client
            assert client.get("/api/v1/users/1/suggested_movies").status_code == 200
            server.stop()
            started = time.monotonic()
            answer = client.get("/api/v1/users/2/suggested_movies")
            assert answer.status_code == 503
            assert time.monotonic() - started < 5
            assert answer.headers["Retry-After"]
            assert client.get("/api/v1/movies/1").status_code == 200
            assert client.get("/livez").status_code == 200
            server.start()
            wait_for(
                lambda: client.get("/api/v1/users/2/suggested_movies").status_code == 200,
                "answers come again",
            )
    finally:
        server.stop()


def test_a_stale_ranking_is_not_taken_for_the_answer(
    fake_worker: Heartbeat, redis_client: redis.Redis, redis_url: str, trained: Trained, tmp_path: Path
) -> None:
    """Nobody computes the new one, and the old one, which is still in the cache, must not be handed out."""
    key, field = keys.ranking(Kind.SUGGESTED, 1)
    old = Ranking("20200101T000000Z-svd-000000", "0123456789abcdef", 3, [1], [1])
    redis_client.hset(key, field, old.to_bytes())
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "WAIT_BUDGET": "3"}
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway, ThreadPoolExecutor(1) as pool:
        gateway.wait_until_ready(1)
        asked = pool.submit(gateway.client.get, "/api/v1/users/1/suggested_movies")
        wait_for(lambda: redis_client.delete("rq:queue:serve"), "the question was queued, and is lost")
        wait_for(lambda: "asking again" in gateway.output, "the question is asked again")
        assert asked.result().status_code == 202


def test_a_gateway_that_starts_without_workers_serves_what_is_cached(
    lonely_gateway: Gateway, redis_client: redis.Redis, serving: Serving
) -> None:
    key, field = keys.ranking(Kind.SUGGESTED, 1)
    redis_client.hset(key, field, rank(serving, Kind.SUGGESTED, [1])[0].to_bytes())
    answer = lonely_gateway.client.get("/api/v1/users/1/suggested_movies")
    assert (answer.status_code, answer.headers["X-Cache"]) == (200, "hit")
    assert lonely_gateway.client.get("/api/v1/users/2/suggested_movies").status_code == 503
