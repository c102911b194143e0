"""What tests of losses ask of a service, and what they see of and do to workers and Redis."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import redis
from redis.exceptions import RedisError

WAIT_BUDGET_SECONDS = 5.0
"""The default of the setting: no request may take longer, but for a little that a busy machine adds."""


def suggestions(user_id: int) -> str:
    """Return the address of a user's suggestions."""
    return f"/api/v1/users/{user_id}/suggested_movies"


def ready(client: httpx.Client, workers: int) -> bool:
    """Tell whether so many workers serve."""
    answer = client.get("/readyz")
    return answer.status_code == 200 and answer.json()["checks"]["workers"]["serving"] == workers


@contextmanager
def frozen(pids: Sequence[int], client: redis.Redis) -> Iterator[None]:
    """Stop workers for a while, so that what is queued stays in its queue."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Redis would still hand one job to each that waits for one.
        for number in waiting(client):
            client.client_kill_filter(_id=str(number))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def waiting(client: redis.Redis) -> list[int]:
    """Return the connections of workers that wait for a job."""
    return [int(connection["id"]) for connection in client.client_list() if "b" in connection["flags"]]


def wake(client: redis.Redis) -> None:
    """Let workers that wait for a job look around, as they do by themselves every 15 seconds."""
    for number in waiting(client):
        client.client_unblock(number)


def flushed(client: redis.Redis) -> bool:
    """Tell whether all that Redis has accepted is in its file."""
    state = client.info("persistence")
    return bool(state["aof_buffer_length"] == 0 and state["aof_pending_bio_fsync"] == 0)


def answers(client: redis.Redis) -> bool:
    """Tell whether Redis answers."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


def timed(client: httpx.Client, path: str) -> tuple[float, httpx.Response]:
    """Return how long a request took, and its answer."""
    started = time.monotonic()
    answer = client.get(path)
    return time.monotonic() - started, answer
