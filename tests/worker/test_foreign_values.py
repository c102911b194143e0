"""What workers do with what somebody else has put into Redis."""

import json
import time
import uuid
from typing import Any

import pytest
import redis
import structlog
from rq.job import JobStatus

from shared.contract import keys
from shared.contract.jobs import BATCH_LIMIT, TRAIN_JOB
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.queue.damage import mend_keys
from shared.queue.jobs import (
    FAILURE_TTL_SECONDS,
    ForbiddenJobError,
    enqueue_rankings,
    fetch_job,
)
from shared.rankings import claims
from shared.rankings.changes import announce_changes
from shared.rankings.ranking import Ranking
from tests.worker.conftest import run_jobs
from worker.jobs.context import ServingContext
from worker.jobs.serve import answer
from worker.rankings import compute_rankings, stale
from worker.serving import Serving
from worker.warming import asked_for

SUGGEST = RULES[Kind.SUGGESTED].job


def forge(client: redis.Redis, kwargs: dict[str, Any], args: list[Any] | None = None, **fields: Any) -> str:
    """Put a job into the queue, as somebody who can write to Redis could."""
    job_id = uuid.uuid4().hex
    data = json.dumps([SUGGEST, None, args or [], kwargs])  # also what is not JSON: NaN, Infinity
    stored: dict[Any, Any] = {"data": data.encode(), "origin": "serve", **fields}
    client.hset(f"rq:job:{job_id}", mapping=stored)
    client.rpush("rq:queue:serve", job_id)
    return job_id


def ask(client: redis.Redis, ids: list[int]) -> str:
    job_id = uuid.uuid4().hex
    enqueue_rankings(client, SUGGEST, ids, job_id=job_id, deadline=time.time() + 60)
    return job_id


def status(client: redis.Redis, job_id: str) -> JobStatus | None:
    job = fetch_job(job_id, client)
    return job.get_status() if job else None


def totals(client: redis.Redis) -> dict[bytes, bytes]:
    found: Any = client.hgetall(keys.COUNTERS)
    return dict(found)


def ranked(client: redis.Redis, user_id: int) -> Ranking | None:
    packed = client.hget(*keys.ranking(Kind.SUGGESTED, user_id))
    return Ranking.from_bytes(packed) if isinstance(packed, bytes) else None


SOON = 4e9


@pytest.mark.parametrize(
    "kwargs",
    [
        {"ids": list(range(1, 200_001)), "deadline": SOON},
        {"ids": list(range(1, BATCH_LIMIT + 2)), "deadline": SOON},
        {"ids": [], "deadline": SOON},
        {"ids": "123", "deadline": SOON},
        {"ids": {"1": 1}, "deadline": SOON},
        {"ids": [1, "2"], "deadline": SOON},
        {"ids": [1, 2.0], "deadline": SOON},
        {"ids": [True], "deadline": SOON},
        {"ids": [None], "deadline": SOON},
        {"ids": [0], "deadline": SOON},
        {"ids": [-1], "deadline": SOON},
        {"ids": [2**31], "deadline": SOON},
        {"ids": [10**400], "deadline": SOON},
        {"ids": [1], "deadline": float("nan")},
        {"ids": [1], "deadline": float("inf")},
        {"ids": [1], "deadline": "soon"},
        {"ids": [1], "deadline": None},
        {"ids": [1]},
        {"ids": [1], "deadline": SOON, "changes": [0, 0]},
        {"ids": [1], "deadline": SOON, "changes": [-1]},
        {"ids": [1], "deadline": SOON, "changes": [2**32]},
        {"ids": [1], "deadline": SOON, "changes": ["x"]},
        {"ids": [1], "deadline": SOON, "changes": "x"},
        {"ids": [1], "deadline": SOON, "colour": 1},
    ],
    ids=lambda kwargs: str(kwargs)[:60],
)
def test_a_job_with_other_arguments_is_refused_and_counted(
    redis_client: redis.Redis, context: ServingContext, kwargs: dict[str, Any]
) -> None:
    job_id = forge(redis_client, kwargs)
    innocent = ask(redis_client, [1])
    with structlog.testing.capture_logs() as logs:
        run_jobs(context)
    assert status(redis_client, job_id) is JobStatus.FAILED
    assert status(redis_client, innocent) is JobStatus.FINISHED
    assert totals(redis_client) == {b"refused": b"1", b"computed": b"1"}
    assert [entry["job"] for entry in logs if entry["event"] == "job refused"] == [job_id]


def test_arguments_without_names_are_refused(redis_client: redis.Redis, context: ServingContext) -> None:
    forge(redis_client, {}, args=[[1], SOON])
    run_jobs(context)
    assert totals(redis_client) == {b"refused": b"1"}


def test_a_training_with_other_arguments_is_refused(redis_client: redis.Redis) -> None:
    data = json.dumps([TRAIN_JOB, None, [], {"algorithm": "svd", "parameters": [1]}])
    redis_client.hset(f"rq:job:{'a' * 32}", mapping={"data": data})
    job = fetch_job("a" * 32, redis_client)
    assert job is not None
    with pytest.raises(ForbiddenJobError, match="parameters: Input should be a valid dictionary"):
        job._execute()


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": 10**30},
        {"timeout": -1},
        {"result_ttl": -1},
        {"result_ttl": 10**12},
        {"retries_left": 10**9},
    ],
    ids=str,
)
def test_times_that_no_job_of_ours_has_are_cut(
    redis_client: redis.Redis, context: ServingContext, fields: dict[str, Any]
) -> None:
    job_id = forge(redis_client, {"ids": [1], "deadline": SOON}, **fields)
    run_jobs(context)
    assert status(redis_client, job_id) is JobStatus.FINISHED
    assert 0 < redis_client.ttl(f"rq:job:{job_id}") <= FAILURE_TTL_SECONDS
    job = fetch_job(job_id, redis_client)
    assert job is not None
    assert (job.retries_left or 0) <= 2


def test_what_is_no_job_in_the_queue_is_taken_out_of_the_way(
    redis_client: redis.Redis, context: ServingContext
) -> None:
    wrong, unreadable = uuid.uuid4().hex, uuid.uuid4().hex
    redis_client.set(f"rq:job:{wrong}", "no hash")
    redis_client.hset(f"rq:job:{unreadable}", mapping={"data": b"x", "created_at": "yesterday"})
    redis_client.rpush("rq:queue:serve", wrong, b"\xff\xfe", unreadable, "a b\r\n")
    innocent = ask(redis_client, [1])
    run_jobs(context)
    assert status(redis_client, innocent) is JobStatus.FINISHED
    assert redis_client.lrange("rq:queue:serve:intermediate", 0, -1) == []
    assert int(totals(redis_client)[b"refused"]) >= 3
    assert fetch_job(wrong, redis_client) is None
    assert fetch_job(unreadable, redis_client) is None


@pytest.mark.parametrize("put", ["set", "rpush", "sadd"])
def test_a_ranking_takes_the_place_of_what_is_no_hash(
    redis_client: redis.Redis, context: ServingContext, put: str
) -> None:
    key, _ = keys.ranking(Kind.SUGGESTED, 2)
    getattr(redis_client, put)(key, "x")
    redis_client.rpush(keys.claim(Kind.SUGGESTED, 3), "x")
    job_id = ask(redis_client, [1, 2, 3])
    run_jobs(context)
    assert status(redis_client, job_id) is JobStatus.FINISHED
    assert all(ranked(redis_client, user_id) for user_id in (1, 2, 3))
    assert redis_client.get(keys.claim(Kind.SUGGESTED, 3)) == claims.SETTLED


USERS = [Question(Kind.SUGGESTED, 1), Question(Kind.SUGGESTED, 2)]


@pytest.mark.parametrize("damage", ["junk", "1.5", "-3", "99999999999", "", "nan", b"\xff", "key"])
def test_a_count_of_changes_that_is_no_number_makes_stale_and_heals(
    redis_client: redis.Redis, serving: Serving, damage: str | bytes
) -> None:
    for user_id in (1, 2):
        compute_rankings(serving, redis_client, [Question(Kind.SUGGESTED, user_id)])
    assert stale(serving, redis_client, USERS) == []
    key, _ = keys.ranking(Kind.SUGGESTED, 1)
    if damage == "key":
        redis_client.delete(key)
        redis_client.set(key, "x")
    else:
        redis_client.hset(key, keys.CHANGES_FIELD, damage)
    assert stale(serving, redis_client, USERS) == USERS[:1]
    assert compute_rankings(serving, redis_client, USERS) == USERS
    assert stale(serving, redis_client, USERS) == []


@pytest.mark.parametrize("damage", ["junk", "key"])
def test_a_change_is_counted_whatever_stood_there(
    redis_client: redis.Redis, serving: Serving, damage: str
) -> None:
    compute_rankings(serving, redis_client, USERS)
    key, _ = keys.ranking(Kind.SUGGESTED, 1)
    if damage == "key":
        redis_client.delete(key)
        redis_client.set(key, "x")
    else:
        redis_client.hset(key, keys.CHANGES_FIELD, damage)
    announce_changes(redis_client, redis_client, [1])
    assert redis_client.hgetall(key) == {b"changes": b"1"}
    assert 0 < redis_client.ttl(key) <= keys.ANSWER_TTL.total_seconds()
    assert stale(serving, redis_client, USERS) == USERS[:1]


@pytest.mark.parametrize("damage", ["junk", "9" * 25, "1e3", "key"])
def test_totals_that_are_no_numbers_fail_no_job(
    redis_client: redis.Redis, context: ServingContext, damage: str
) -> None:
    if damage == "key":
        redis_client.set(keys.COUNTERS, "x")
    else:
        redis_client.hset(keys.COUNTERS, mapping={"computed": damage, "failed": "7"})
    first, second = ask(redis_client, [1]), ask(redis_client, [2])
    run_jobs(context)
    assert [status(redis_client, job_id) for job_id in (first, second)] == [JobStatus.FINISHED] * 2
    assert totals(redis_client)[b"computed"] == b"2"
    if damage != "key":
        assert totals(redis_client)[b"failed"] == b"7"


def test_totals_that_are_damaged_while_jobs_run(redis_client: redis.Redis, context: ServingContext) -> None:
    """Between two looks of the worker at what is shared."""
    redis_client.hset(keys.COUNTERS, "computed", "junk")
    assert answer(context, Kind.SUGGESTED, [1], SOON) == {"computed": 1, "expired": 0}
    assert ranked(redis_client, 1) is not None
    assert redis_client.hget(keys.COUNTERS, "computed") is None
    assert answer(context, Kind.SUGGESTED, [1], SOON) == {"computed": 1, "expired": 0}
    assert redis_client.hget(keys.COUNTERS, "computed") == b"1"


@pytest.mark.parametrize(
    "key",
    ["rq:queue:serve:intermediate", "rq:queues", "rq:workers", "rq:workers:serve", "rq:finished:serve"],
)
def test_a_shared_key_of_another_type_heals(
    redis_client: redis.Redis, context: ServingContext, key: str
) -> None:
    job_id = ask(redis_client, [1])
    redis_client.delete(key)
    redis_client.set(key, "x")
    with structlog.testing.capture_logs() as logs:
        mend_keys(redis_client)
        run_jobs(context)
    assert status(redis_client, job_id) is JobStatus.FINISHED
    assert [entry["key"] for entry in logs if entry["event"] == "a damaged key was removed"] == [key]


def test_what_is_sound_is_left_alone(redis_client: redis.Redis, context: ServingContext) -> None:
    ask(redis_client, [1])
    run_jobs(context)
    redis_client.zadd(keys.ASKED, {"suggested:1": 1})
    redis_client.set(keys.TRAINING, "x")
    redis_client.sadd(keys.workers("serve"), "x")
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    with structlog.testing.capture_logs() as logs:
        mend_keys(redis_client)
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
    assert logs == []


def test_junk_in_the_table_of_what_is_asked_is_passed_over(redis_client: redis.Redis) -> None:
    junk = ["suggested:abc", "suggested:-1", "suggested:0", "suggested:2147483648", "suggested:1_0", "x:1"]
    members: dict[Any, float] = dict.fromkeys([*junk, "suggested", "", b"\xff:1", "suggested:²"], 9.0)
    redis_client.zadd(keys.ASKED, {**members, "suggested:5": 2.0, "similar:7": 1.0})
    assert asked_for(redis_client, Kind.SUGGESTED) == [5]
    assert asked_for(redis_client, Kind.SIMILAR) == [7]
