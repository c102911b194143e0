"""``/readyz`` says in numbers what its details say in words."""

import httpx
import pytest
import redis

from gateway.routes.health import Readiness
from shared.contract.jobs import QueueName
from tests.gateway.asking import announce
from tests.processes import Gateway, wait_for


def workers_check(client: httpx.Client) -> dict[str, object]:
    found: dict[str, object] = client.get("/readyz").json()["checks"]["workers"]
    return found


@pytest.mark.processes
def test_workers_and_waiting_jobs_are_counted(
    lonely_gateway: Gateway, redis_client: redis.Redis, trained: object
) -> None:
    client = lonely_gateway.client
    assert workers_check(client) == {
        "ok": False,
        "detail": "0 running, none with a model; run: movierec worker, movierec train",
        "serving": 0,
        "warming": 0,
        "training": 0,
        "queue_length": 0,
    }
    version = "20261122T201530Z-svd-1f3c9a"
    alive = {QueueName.SERVE: 2, QueueName.WARM: 3, QueueName.TRAIN: 4}
    for queue, n in alive.items():
        for number in range(n):
            announce(redis_client, f"{queue}-{number}", version, queue)
    announce(redis_client, "without a model", None)
    redis_client.rpush("rq:queue:serve", *"abcde")
    expected = {
        "ok": True,
        "detail": f"2 serving, 5 jobs waiting, model: {version}",
        "serving": 2,
        "warming": 3,
        "training": 4,
        "queue_length": 5,
    }
    wait_for(lambda: workers_check(client) == expected, "all is counted", 10)
    checks = client.get("/readyz").json()["checks"]
    assert checks["warmer"] == {"ok": True, "detail": "3 running"}
    assert checks["trainer"] == {"ok": True, "detail": "4 running"}
    assert "cache" not in checks, "the rankings have no Redis of their own"


def test_the_answer_is_typed(lonely_gateway: Gateway) -> None:
    answer = lonely_gateway.client.get("/readyz")
    read = Readiness.model_validate_json(answer.content)
    assert read.model_dump(mode="json", exclude_none=True) == answer.json()
    schema = lonely_gateway.client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schema["WorkersCheck"]["required"]) == {
        "ok",
        "detail",
        "serving",
        "warming",
        "training",
        "queue_length",
    }
    assert schema["Checks"]["properties"]["workers"] == {"$ref": "#/components/schemas/WorkersCheck"}
