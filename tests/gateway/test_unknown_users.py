"""Asking for a user does not make one: who does not exist is neither counted, computed ahead nor served."""

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.database.schema import ratings
from shared.queue.connections import connect
from shared.rankings.ranking import Ranking
from tests.gateway.conftest import Service
from tests.processes import wait_for

MADE_UP = 700_001


def path(user_id: int) -> str:
    return f"/api/v1/users/{user_id}/suggested_movies"


def test_a_made_up_user_is_not_counted(service: Service) -> None:
    with connect(service.redis_url) as client:
        client.delete(keys.ASKED)
        for user_id in range(MADE_UP, MADE_UP + 30):
            assert service.client.get(path(user_id)).status_code == 404
        # Counted after them, so when this one is written, so would they be.
        assert service.client.get(path(3)).status_code == 200
        wait_for(lambda: client.zcard(keys.ASKED), "what was asked is counted")
        assert client.zrange(keys.ASKED, 0, -1) == [keys.asked(Kind.SUGGESTED, 3).encode()]


def test_a_cached_ranking_does_not_make_a_user(service: Service) -> None:
    manifest = service.trained.manifest
    ranking = Ranking(manifest.version, manifest.data.fingerprint, 3, [1], [4000])
    key, field = keys.ranking(Kind.SUGGESTED, MADE_UP)
    with connect(service.redis_url) as client:
        client.hset(key, field, ranking.to_bytes())
        try:
            for gateway in (service.client, service.remembering):
                answer = gateway.get(path(MADE_UP))
                assert (answer.status_code, answer.json()["title"]) == (404, "Unknown user")
        finally:
            client.delete(key)


def test_a_user_whose_ratings_are_gone_is_one_no_more(service: Service) -> None:
    """The gateway still knows the id, so that a worker finds out."""
    engine = service.trained.engine
    with engine.begin() as connection:
        kept = connection.execute(ratings.select().where(ratings.c.user_id == 7)).fetchall()
        connection.execute(ratings.delete().where(ratings.c.user_id == 7))
    try:
        with connect(service.redis_url) as client:
            client.delete(keys.ranking(Kind.SUGGESTED, 7)[0])
            answer = service.client.get(path(7))
            assert (answer.status_code, answer.json()["title"]) == (404, "Unknown user")
            assert not client.exists(keys.ranking(Kind.SUGGESTED, 7)[0])
    finally:
        with engine.begin() as connection:
            connection.execute(ratings.insert(), [dict(row._mapping) for row in kept])
    assert service.client.get(path(7)).status_code == 200
