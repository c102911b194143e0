"""What a gateway does with what somebody else has put into Redis, and with a Redis that stores nothing."""

import uuid
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import redis

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.queue.connections import connect
from shared.queue.jobs import open_queue
from shared.rankings.ranking import Ranking
from shared.redis_server.server import RedisServer
from tests.conftest import Trained
from tests.gateway.conftest import TOKEN, Service
from tests.processes import Command, Gateway, wait_for

SUGGESTIONS = "/api/v1/users/{}/suggested_movies"


@pytest.fixture
def queue(service: Service) -> Iterator[redis.Redis]:
    with connect(service.redis_url) as client:
        yield client


def checks(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.client.get("/readyz").json()["checks"]
    return found


# Rankings, counts and claims ------------------------------------------------------------------------------


def packed(**fields: Any) -> bytes:
    version = "20261122T201530Z-svd-1f3c9a"
    sound = {
        "version": version,
        "fingerprint": "f",
        "decimals": 3,
        "movie_ids": [1, 2],
        "scores": [4000, 3000],
    }
    return Ranking(**{**sound, **fields}).to_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"version": "x\r\nX-Evil: 1"},
        {"version": "v" * 255},
        {"decimals": 200},
        {"decimals": 2},
        {"movie_ids": [1, 1]},
        {"movie_ids": [0, 1]},
        {"movie_ids": [1, 2**32 - 1]},
        {"scores": [5001, 3000]},
        {"scores": [3000, -1]},
        {"scores": [3000, 4000]},
        {"movie_ids": range(1, 152), "scores": [3000] * 151},
    ],
    ids=lambda fields: str(fields)[:50],
)
def test_a_ranking_that_nobody_of_ours_made_is_computed_anew(
    service: Service, queue: redis.Redis, fields: dict[str, Any]
) -> None:
    queue.delete(keys.ranking(Kind.SUGGESTED, 1)[0])
    right = service.client.get(SUGGESTIONS.format(1))
    sound = {
        "version": service.trained.manifest.version,
        "fingerprint": service.trained.manifest.data.fingerprint,
    }
    queue.hset(*keys.ranking(Kind.SUGGESTED, 1), packed(**{**sound, **fields}))
    assert Ranking.from_bytes(packed(**fields)) is not None
    answer = service.client.get(SUGGESTIONS.format(1))
    assert (answer.status_code, answer.headers["X-Cache"]) == (200, "miss")
    assert answer.content == right.content
    assert service.client.get(SUGGESTIONS.format(1)).headers["X-Cache"] == "hit"


def test_a_ranking_of_the_other_kind_is_computed_anew(service: Service, queue: redis.Redis) -> None:
    similar, suggested = keys.ranking(Kind.SIMILAR, 1), keys.ranking(Kind.SUGGESTED, 1)
    service.client.get("/api/v1/movies/1/most_similar_movies")
    right = service.client.get(SUGGESTIONS.format(1))
    stored = queue.hget(*similar)
    assert isinstance(stored, bytes)
    queue.hset(*suggested, stored)
    assert service.client.get(SUGGESTIONS.format(1)).content == right.content


@pytest.mark.parametrize("damage", ["junk", "-1", "1.5", "1e3", "9" * 30, b"\xff", ""])
def test_a_count_of_changes_that_is_no_number_is_stale_and_heals(
    service: Service, queue: redis.Redis, damage: str | bytes
) -> None:
    right = service.client.get(SUGGESTIONS.format(1))
    queue.hset(keys.ranking(Kind.SUGGESTED, 1)[0], keys.CHANGES_FIELD, damage)
    for expected in ("miss", "hit"):
        answer = service.client.get(SUGGESTIONS.format(1))
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, expected)
        assert answer.content == right.content


def test_a_key_of_another_type_hurts_nobody_and_heals(service: Service, queue: redis.Redis) -> None:
    users = range(1, 9)
    for user_id in users:
        queue.delete(keys.ranking(Kind.SUGGESTED, user_id)[0])
    queue.rpush(keys.ranking(Kind.SUGGESTED, 3)[0], "x")
    queue.delete(keys.claim(Kind.SUGGESTED, 5))  # an answer of a moment ago has left it settled
    queue.rpush(keys.claim(Kind.SUGGESTED, 5), "x")
    for expected in ("miss", "hit"):
        answers = [service.client.get(SUGGESTIONS.format(user_id)) for user_id in users]
        assert {(answer.status_code, answer.headers["X-Cache"]) for answer in answers} == {(200, expected)}


@pytest.mark.parametrize(
    "junk", ["x", "", b"\xff\xfe", "a\r\nSet-Cookie: b=c", "settled ", "g" * 32, "a" * 10_000]
)
def test_a_claim_that_nobody_of_ours_holds_holds_nobody_up(
    service: Service, queue: redis.Redis, junk: str | bytes
) -> None:
    queue.delete(keys.ranking(Kind.SUGGESTED, 4)[0])
    queue.set(keys.claim(Kind.SUGGESTED, 4), junk)
    answer = service.client.get(SUGGESTIONS.format(4))
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1.5


def test_a_junk_claim_names_no_job(
    lonely_gateway: Gateway, redis_client: redis.Redis, trained: Trained
) -> None:
    believe_in_a_worker(redis_client, trained)
    lonely_gateway.wait_until_ready(1)
    redis_client.set(keys.claim(Kind.SUGGESTED, 1), "a\r\nSet-Cookie: b=c")
    answer = lonely_gateway.client.get(SUGGESTIONS.format(1), headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert "Set-Cookie" not in answer.headers
    assert lonely_gateway.client.get(answer.headers["Location"]).json()["state"] == "queued"
    assert len(open_queue(QueueName.SERVE, redis_client)) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xfe\x00",
        b"written suggested " + b"9" * 5000,
        b"written suggested -1 0 2147483648",
        b"changed suggested " + b"1 " * 10**6,
        b"failed suggested x",
        b"x" * 10**6,
        b"",
    ],
    ids=lambda message: str(message[:30]),
)
@pytest.mark.parametrize("channel", [keys.ANSWERS_CHANNEL, keys.WORKERS_CHANNEL])
def test_junk_on_the_channels_is_not_heard(
    service: Service, queue: redis.Redis, message: bytes, channel: str
) -> None:
    for _ in range(20):
        queue.publish(channel, message)
    queue.delete(keys.ranking(Kind.SUGGESTED, 6)[0])
    answer = service.client.get(SUGGESTIONS.format(6))
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1.5


# Workers and totals ---------------------------------------------------------------------------------------


def believe_in_a_worker(client: redis.Redis, trained: Trained, **fields: Any) -> None:
    worker_id = uuid.uuid4().hex
    beat = {
        "worker_id": worker_id,
        "queue": "serve",
        "host": "here",
        "pid": 1,
        "model_version": trained.manifest.version,
        **fields,
    }
    client.set(keys.worker(worker_id), orjson.dumps(beat))
    client.sadd(keys.workers(QueueName.SERVE), worker_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"model_version": "x\r\nX-Evil: 1"},
        {"model_version": "20261122T201530Z-svd-1f3c9a\n"},
        {"model_version": "x" * 100_000},
        {"worker_id": "another"},
        {"queue": "warm"},
        {"host": "a\nb"},
        {"pid": -1},
        {"job_seconds": -1},
        {"job_seconds": 1e300},
        {"model_version": 7},
    ],
    ids=lambda fields: str(fields)[:50],
)
def test_a_heartbeat_that_is_none_of_ours_counts_for_nothing(
    lonely_gateway: Gateway, redis_client: redis.Redis, trained: Trained, fields: dict[str, Any]
) -> None:
    believe_in_a_worker(redis_client, trained, **fields)
    redis_client.sadd(keys.workers(QueueName.SERVE), b"\xff", "a b", "", "x" * 1000)
    redis_client.set(keys.worker("a b"), "no JSON")
    wait_for(lambda: redis_client.scard(keys.workers(QueueName.SERVE)) == 0, "they are swept out", 10)
    found = lonely_gateway.client.get("/readyz").json()
    assert found["checks"]["workers"]["detail"].startswith("0 running")
    assert "X-Evil" not in lonely_gateway.client.get("/api/v1/users/1").headers
    believe_in_a_worker(redis_client, trained)
    lonely_gateway.wait_until_ready(1)


def test_totals_and_sets_that_are_damaged_end_no_watch(
    lonely_gateway: Gateway, redis_client: redis.Redis, trained: Trained
) -> None:
    junk = {"computed": "junk", "expired": b"\xff", "failed": "9" * 40, "shed": "3", b"\xfe": "x"}
    redis_client.hset(keys.COUNTERS, mapping=junk)  # type: ignore[arg-type]
    redis_client.set(keys.workers(QueueName.WARM), "no set")
    redis_client.set("rq:queue:serve", "no list")
    believe_in_a_worker(redis_client, trained)
    lonely_gateway.wait_until_ready(1)
    found = lonely_gateway.client.get("/readyz").json()
    assert found["checks"]["queue"] == {"ok": True, "detail": "reachable"}
    assert found["counters"] == {"computed": 0, "expired": 0, "failed": 0, "shed": 3, "refused": 0}
    redis_client.delete(keys.COUNTERS)
    redis_client.set(keys.COUNTERS, "no hash")
    wait_for(lambda: lonely_gateway.client.get("/readyz").json()["counters"]["shed"] == 0, "it looks on", 10)


# Jobs and trainings ---------------------------------------------------------------------------------------


def put_job(client: redis.Redis, **fields: Any) -> str:
    job_id = uuid.uuid4().hex
    data = orjson.dumps([RULES[Kind.SUGGESTED].job, None, [], {}])
    stored: dict[Any, Any] = {"data": data, "status": "finished", **fields}
    client.hset(f"rq:job:{job_id}", mapping=stored)
    return job_id


@pytest.mark.parametrize(
    "meta",
    [
        [1],
        "x",
        7,
        None,
        {},
        {"progress": 1},
        {"progress": {"phase": 1}},
        {"progress": {"phase": "a", "done": "x", "total": 1, "unit": "", "seconds_left": 0, "metrics": {}}},
    ],
    ids=str,
)
def test_progress_of_another_shape_is_none(client: httpx.Client, queue: redis.Redis, meta: object) -> None:
    job_id = put_job(queue, meta=orjson.dumps(meta))
    answer = client.get(f"/api/v1/jobs/{job_id}")
    assert (answer.status_code, answer.json()["progress"]) == (200, None)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (
            {"error": {"type": "DataError", "message": "2 bad rows:\nratings.csv:7"}},
            "2 bad rows:\nratings.csv:7",
        ),
        ({"error": {"type": "WorkerDied", "message": "It died."}}, "It died."),
        ({}, None),
        ([1], None),
        ("x", None),
        ({"error": "Traceback"}, None),
        ({"error": {"type": "DataError"}}, None),
        ({"error": {"type": 7, "message": "x"}}, None),
        ({"error": {"type": "DataError", "message": {"x": 1}}}, None),
    ],
    ids=str,
)
def test_a_failed_job_says_what_its_worker_wrote_and_nothing_of_the_inside(
    client: httpx.Client, queue: redis.Redis, meta: object, said: str | None
) -> None:
    inside = "Traceback (most recent call last):\nshared.errors.DataError: inside"
    job_id = put_job(queue, status="failed", meta=orjson.dumps(meta))
    queue.xadd(
        f"rq:results:{job_id}",
        {"type": 2, "created_at": 1, "exc_string": b64encode(zlib.compress(inside.encode()))},
    )
    found = client.get(f"/api/v1/jobs/{job_id}").json()
    assert found["state"] == "failed"
    assert found["error"] == (said or "It failed for a reason of our own; the worker's log tells it.")


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "yesterday"},
        {"status": "happy"},
        {"timeout": "x"},
        {"result_ttl": "x"},
        {"origin": b"\xff"},
        {"description": b"\xff"},
        {"meta": b"\xff"},
        {"dependency_ids": "x"},
        {"retries_left": "x"},
        {"data": b"\xff"},
    ],
    ids=str,
)
def test_a_job_that_rq_cannot_read_is_no_mistake_of_ours(
    client: httpx.Client, queue: redis.Redis, fields: dict[str, Any]
) -> None:
    assert client.get(f"/api/v1/jobs/{put_job(queue, **fields)}").status_code in {200, 404}


def test_a_job_or_result_of_another_type(client: httpx.Client, queue: redis.Redis) -> None:
    job_id = uuid.uuid4().hex
    queue.set(f"rq:job:{job_id}", "x")
    assert client.get(f"/api/v1/jobs/{job_id}").status_code == 404
    for state in ("finished", "failed"):
        job_id = put_job(queue, status=state)
        queue.set(f"rq:results:{job_id}", "x")
        answer = client.get(f"/api/v1/jobs/{job_id}")
        assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (200, state, None)
        queue.delete(f"rq:results:{job_id}")
        queue.xadd(f"rq:results:{job_id}", {"type": "x", "created_at": "x", "return_value": b"\xff"})
        assert client.get(f"/api/v1/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize("note", ["", b"\xff\xfe", "a\r\nLocation: x", "0" * 32, "a list", "another job"])
def test_a_note_of_a_training_that_is_none_stops_no_training(
    service: Service, queue: redis.Redis, note: str | bytes
) -> None:
    queue.delete(keys.TRAINING)
    if note == "a list":
        queue.rpush(keys.TRAINING, "x")
    else:
        queue.set(keys.TRAINING, put_job(queue, status="queued") if note == "another job" else note)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = service.client.post("/api/v1/models", json={"algorithm": "svd"}, headers=headers)
    assert answer.status_code == 202
    again = service.client.post("/api/v1/models", json={"algorithm": "svd"}, headers=headers)
    assert (again.status_code, again.headers["Location"]) == (409, answer.headers["Location"])
    job_id = answer.headers["Location"].rpartition("/")[2]
    open_queue(QueueName.TRAIN, queue).empty()
    queue.delete(keys.TRAINING, f"rq:job:{job_id}")


# A Redis that stores nothing ------------------------------------------------------------------------------


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "own-redis")
    server.start()
    yield server
    server.stop()


def fill(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")


def make_a_replica(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")


def forbid_writes(client: redis.Redis) -> None:
    """Have it behave as if its disk were full."""
    client.config_set("min-replicas-to-write", "1")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(fill, "Redis is full"), (make_a_replica, "read-only replica"), (forbid_writes, "too few replicas")],
)
def test_a_queue_that_stores_nothing_is_called_that(
    trained: Trained, own_redis: RedisServer, tmp_path: Path, spoil: Any, words: str
) -> None:
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": own_redis.url}
    alive = str(tmp_path / "worker.alive")
    with (
        Command("worker", log=tmp_path / "worker.log", HEARTBEAT_FILE=alive, **settings) as worker,
        Gateway(log=tmp_path / "gateway.log", **settings) as gateway,
        connect(own_redis.url) as client,
    ):
        gateway.wait_until_ready(1)
        known = gateway.client.get(SUGGESTIONS.format(1))
        assert known.status_code == 200
        assert 0 < client.pttl(keys.CHECK) <= 1000 * keys.CHECK_TTL.total_seconds()
        spoil(client)
        wait_for(lambda: not checks(gateway)["queue"]["ok"], "it is noticed", 10)
        wait_for(lambda: checks(gateway)["workers"]["detail"].startswith("0 "), "heartbeats end", 10)
        found = gateway.client.get("/readyz")
        assert found.status_code == 503
        assert words in found.json()["checks"]["queue"]["detail"]
        assert "movierec worker" not in found.json()["checks"]["workers"]["detail"]
        refused = gateway.client.get(SUGGESTIONS.format(2))
        assert (refused.status_code, refused.json()["type"]) == (
            503,
            "urn:movierec:problem:queue-unreachable",
        )
        assert words in refused.json()["detail"]
        assert gateway.client.get(SUGGESTIONS.format(1)).content == known.content
        wait_for(lambda: worker.output.count(words) >= 1, "the worker says it", 10)
        wait_for(lambda: "the queue cannot be used" in worker.output, "its queue fails", 20)
        client.replicaof("no", "one")
        client.config_set("maxmemory", "0")
        client.config_set("min-replicas-to-write", "0")
        wait_for(lambda: checks(gateway)["queue"]["ok"], "it is over", 10)
        gateway.wait_until_ready(1)
        assert gateway.client.get(SUGGESTIONS.format(2)).status_code == 200
        for said in (worker.output, gateway.output):
            assert 1 <= said.count(words) <= 2  # heartbeat and queue
    assert gateway.output.count("the queue can be used again") == 1


def test_a_cache_of_its_own_that_is_full_is_called_that(
    trained: Trained, redis_client: redis.Redis, redis_url: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "CACHE_URL": own_redis.url}
    believe_in_a_worker(redis_client, trained)
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway, connect(own_redis.url) as cache:
        gateway.wait_until_ready(1)
        wait_for(lambda: cache.exists(keys.CHECK), "it is looked at", 10)
        assert checks(gateway)["cache"] == {"ok": True, "detail": "reachable"}
        fill(cache)
        wait_for(lambda: not checks(gateway)["cache"]["ok"], "it is noticed", 10)
        assert checks(gateway)["queue"]["ok"]
        assert "Redis is full" in checks(gateway)["cache"]["detail"]
        refused = gateway.client.get(SUGGESTIONS.format(2))
        assert refused.status_code == 503
        assert "The cache: Redis is full" in refused.json()["detail"]
        cache.config_set("maxmemory", "0")
        wait_for(lambda: checks(gateway)["cache"]["ok"], "it is over", 10)
