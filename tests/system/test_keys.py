"""What stays in Redis after a bit of everything: nothing that nobody knows of, and nothing for ever."""

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from rq.serializers import JSONSerializer

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.queue.jobs import enqueue_rankings
from tests.processes import Command, wait_for
from tests.system.conftest import Up

pytestmark = pytest.mark.system

WEEK_SECONDS = 7 * 24 * 3600

EXPIRE = {
    "movierec:asked",
    "movierec:check",
    "movierec:movie:<n>",
    "movierec:training",
    "movierec:user:<n>",
    "movierec:warming:<version>:<data>",
    "movierec:worker:<id>",
    "rq:job:<id>",
    "rq:results:<id>",
    "rq:worker:<id>",
}

STAY = {
    "movierec:counters": "one hash of totals, which are for good",
    "movierec:workers:serve": "a set of ids: a worker takes out its own, gateways those of the dead",
    "movierec:workers:train": "the same",
    "movierec:workers:warm": "the same",
    "rq:failed:serve": "a job leaves it after a week: workers sweep it every five seconds",
    "rq:finished:serve": "a job leaves it after a minute: workers sweep it",
    "rq:finished:train": "a job leaves it after a week: workers sweep it",
    "rq:finished:warm": "a job leaves it after a minute: workers sweep it",
    "rq:queues": "three names",
    "rq:workers": "a set of names: a worker takes out its own, the others those of the dead",
    "rq:workers:serve": "the same",
    "rq:workers:train": "the same",
    "rq:workers:warm": "the same",
}

COME_AND_GO = {
    "rq:clean_groups",
    *(f"rq:clean_registries:{queue}" for queue in QueueName),
    *(f"movierec:claim:{kind}:<n>" for kind in Kind),
}
"""Locks of seconds."""

OF_THE_LIVING = {pattern for pattern in EXPIRE | STAY.keys() if "worker" in pattern} - {"rq:worker:<id>"}
"""Gone when everything has stopped."""


@pytest.fixture
def up_elsewhere(prepared: Path, tmp_path: Path, redis_url: str) -> Iterator[Up]:
    """Start everything but Redis, so that it can be looked at after the end."""
    shutil.copytree(prepared, tmp_path / "data")
    with Up(tmp_path, QUEUE_URL=redis_url) as running:
        running.wait_until_up()
        yield running


def pattern_of(key: str) -> str:
    key = re.sub(r"\b[0-9]{8}T[0-9]{6}Z-[a-z0-9_]+-[0-9a-f]{6}\b", "<version>", key)
    key = re.sub(r"(?<=<version>:)[0-9a-f]+$", "<data>", key)
    key = re.sub(r"\b[0-9a-f]{32}\b|\bforged\b", "<id>", key)
    return re.sub(r"\b[0-9]+\b", "<n>", key)


def look(client: redis.Redis) -> dict[str, set[int]]:
    """Return the patterns of all keys, each with the times to live in seconds, -1 for none."""
    found: dict[str, set[int]] = {}
    for key in sorted(client.scan_iter()):
        seconds = client.ttl(key)
        if seconds != -2:  # gone meanwhile
            found.setdefault(pattern_of(key.decode()), set()).add(seconds)
    return found


def do_a_bit_of_everything(up: Up, client: redis.Redis, tmp_path: Path) -> None:
    def get(path: str, **headers: str) -> httpx.Response:
        return up.client.get(f"/api/v1/{path}", headers=headers)

    def wait_until_finished(job: str) -> None:
        wait_for(lambda: up.client.get(job).json().get("state") == "finished", "the job is done")

    assert get("users/1").status_code == 200
    assert get("users/1/suggested_movies").status_code == 200
    assert get("movies/1/most_similar_movies").status_code == 200
    for unknown in ("users/99999", "users/99999/suggested_movies", "movies/99999/most_similar_movies"):
        assert get(unknown).status_code == 404
    later = get("users/2/suggested_movies", Prefer="respond-async")
    assert later.status_code == 202
    wait_until_finished(later.headers["Location"])
    wait_for(lambda: client.exists(keys.ASKED), "what was asked is counted")

    small = {"algorithm": "svd", "parameters": {"n_epochs": 1, "n_factors": 2}}
    wait_until_finished(up.client.post("/api/v1/models", json=small, headers=up.token()).headers["Location"])
    wait_for(lambda: client.exists("rq:finished:warm"), "what is asked most was computed anew")

    mark = tmp_path / "was-here"
    data = JSONSerializer.dumps(["os.system", None, [f"touch {mark}"], {}])
    client.hset("rq:job:forged", mapping={"data": data})
    client.rpush("rq:queue:serve", "forged")
    wait_for(lambda: client.hget(keys.COUNTERS, keys.Counter.REFUSED) == b"1", "the forged job is refused")
    assert not mark.exists()

    run = ["warm", "--users", "all", "--movies", "all"], ["data", "changed", "3", "4"]
    for arguments in run:
        command = Command(*arguments, log=tmp_path / "command.log", QUEUE_URL=client_url(client))
        assert command.process.wait(60) == 0, command.output

    # Jobs of questions are kept for a minute: one of each queue shall be there when we look.
    wait_until_finished(get("users/4/suggested_movies", Prefer="respond-async").headers["Location"])
    job_id, deadline = uuid.uuid4().hex, time.time() + 60
    suggest = RULES[Kind.SUGGESTED].job
    enqueue_rankings(client, suggest, [3], job_id=job_id, deadline=deadline, queue=QueueName.WARM)
    wait_until_finished(f"/api/v1/jobs/{job_id}")


def client_url(client: redis.Redis) -> str:
    options = client.connection_pool.connection_kwargs
    return f"redis://:{options['password']}@{options['host']}:{options['port']}/0"


def test_every_key_is_known_and_expires_or_has_a_reason_not_to(
    up_elsewhere: Up, redis_client: redis.Redis, tmp_path: Path
) -> None:
    do_a_bit_of_everything(up_elsewhere, redis_client, tmp_path)
    running = look(redis_client)
    assert up_elsewhere.stop() == 0
    stopped = look(redis_client)

    known = EXPIRE | STAY.keys()
    assert running.keys() - COME_AND_GO == known
    assert stopped.keys() - COME_AND_GO == known - OF_THE_LIVING
    for found in (running, stopped):
        for pattern, times in found.items():
            if pattern in STAY:
                assert times == {-1}, pattern
            else:
                assert 0 <= min(times) <= max(times) <= WEEK_SECONDS, (pattern, times)
    assert max(stopped["rq:worker:<id>"]) <= 60
