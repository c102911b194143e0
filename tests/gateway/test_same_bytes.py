"""Whatever way an answer takes, it is the same, byte for byte."""

import asyncio
from pathlib import Path

import httpx
import pytest

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.database import queries
from shared.queue.connections import connect
from shared.rankings.changes import announce_changes
from tests.gateway.conftest import Service
from tests.processes import Command, wait_for

N = 60


@pytest.fixture(scope="module")
def ids(service: Service) -> dict[Kind, list[int]]:
    with service.trained.engine.connect() as connection:
        users = queries.some_users(connection, N)
        movies = [movie.movie_id for movie in queries.all_movies(connection)][:N]
    return {Kind.SUGGESTED: users, Kind.SIMILAR: movies}


def path(kind: Kind, subject: int) -> str:
    if kind is Kind.SUGGESTED:
        return f"/api/v1/users/{subject}/suggested_movies"
    return f"/api/v1/movies/{subject}/most_similar_movies"


def forget(service: Service, kind: Kind, ids: list[int]) -> None:
    with connect(service.redis_url) as redis:
        redis.delete(*(keys.ranking(kind, subject)[0] for subject in ids))


def ask_at_once(clients: list[httpx.Client], paths: list[str]) -> list[httpx.Response]:
    """Ask each gateway for each path, all at the same time."""

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=1000)
        async with httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as asking:
            urls = [client.base_url.join(path) for path in paths for client in clients]
            return list(await asyncio.gather(*(asking.get(url) for url in urls)))

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", list(Kind))
def test_alone_in_a_batch_from_redis_from_memory_and_warmed(
    service: Service, ids: dict[Kind, list[int]], kind: Kind, tmp_path: Path
) -> None:
    wanted = ids[kind]
    paths = [path(kind, subject) for subject in wanted]

    forget(service, kind, wanted)
    alone = [service.client.get(one) for one in paths]
    assert {answer.headers["X-Cache"] for answer in alone} == {"miss"}

    from_redis = [service.client.get(one) for one in paths]
    assert {answer.headers["X-Cache"] for answer in from_redis} == {"hit"}

    forget(service, kind, wanted)
    together = ask_at_once([service.client], paths)
    assert {answer.headers["X-Cache"] for answer in together} == {"miss"}

    for one in paths:
        service.remembering.get(one)
    forget(service, kind, wanted)  # so that a hit is from nowhere else
    from_memory = [service.remembering.get(one) for one in paths]
    assert {answer.headers["X-Cache"] for answer in from_memory} == {"hit"}

    forget(service, kind, wanted)
    with connect(service.redis_url) as redis:
        redis.zadd(keys.ASKED, {keys.asked(kind, subject): 1 for subject in wanted})
    settings = {"DATA_DIR": str(service.trained.data_dir), "QUEUE_URL": service.redis_url}
    warming = Command("warm", log=tmp_path / "warm.log", **settings)
    assert warming.process.wait(60) == 0, warming.output
    warmed = [service.client.get(one) for one in paths]
    assert {answer.headers["X-Cache"] for answer in warmed} == {"hit"}

    for answers in zip(alone, from_redis, together, from_memory, warmed, strict=True):
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["ETag"] for answer in answers}) == 1


def test_five_hundred_who_ask_the_same_are_one_computation(service: Service) -> None:
    user_id = 30
    forget(service, Kind.SUGGESTED, [user_id])
    with connect(service.redis_url) as redis:
        # So that memory has nothing of it: the news drops what the user has rated, too, and that shows.
        rated = f"/api/v1/users/{user_id}"
        service.remembering.get(rated)
        assert service.remembering.get(rated).headers["X-Cache"] == "hit"
        announce_changes(redis, redis, [user_id])
        wait_for(
            lambda: service.remembering.get(rated).headers["X-Cache"] == "miss", "the gateway has heard it"
        )
        before = int(redis.hget(keys.COUNTERS, keys.Counter.COMPUTED) or 0)
        gateways = [service.client, service.remembering]
        answers = ask_at_once(gateways, [path(Kind.SUGGESTED, user_id)] * 250)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert int(redis.hget(keys.COUNTERS, keys.Counter.COMPUTED) or 0) == before + 1
