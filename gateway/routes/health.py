"""Is this process alive, and can it answer."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError

from gateway.background_tasks import Supervisor
from gateway.context import GatewayContext, context_of
from gateway.load.workers import Workers
from shared.contract.keys import Counter
from shared.database.files import probe
from shared.errors import ArtifactError

router = APIRouter(tags=["health"])

_OPTIONAL = frozenset({"warmer", "trainer", "model"})


class Alive(BaseModel):
    """This process runs."""

    status: str


class Check(BaseModel):
    """One thing that is needed."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether questions can be answered, and what is missing if not."""

    ready: bool
    checks: dict[str, Check]
    counters: dict[str, int] = Field(
        description="Totals over all workers: rankings `computed`, questions that `expired`, `failed` or "
        "were `shed`, forged jobs that were `refused`."
    )


@router.get("/livez", summary="Does this process run?", response_model=Alive)
async def livez() -> Response:
    """Answer 200 as long as the process can answer at all."""
    return Response(b'{"status":"alive"}', media_type="application/json")


@router.get(
    "/readyz",
    summary="Can questions be answered?",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not yet; the checks say what is missing."}},
)
def readyz(context: Annotated[GatewayContext, Depends(context_of)]) -> Response:
    """Check database, queue, data, model and workers.

    A missing warmer or trainer does not count, nor does a model that was trained on other data.
    """
    checks = {
        name: {"ok": not missing, "detail": detail} for name, (missing, detail) in _look(context).items()
    }
    ready = all(check["ok"] for name, check in checks.items() if name not in _OPTIONAL)
    counters = {counter.value: context.workers.counters.get(counter.value, 0) for counter in Counter}
    body = orjson.dumps({"ready": ready, "checks": checks, "counters": counters})
    return Response(body, 200 if ready else 503, media_type="application/json")


def _look(context: GatewayContext) -> dict[str, tuple[bool, str]]:
    workers, movies = context.workers, len(context.catalogue)
    able = sum(worker.model_version is not None for worker in workers.serving)
    versions = ", ".join(sorted(workers.versions)) or "none"
    unusable = workers.refusal or (None if workers.reachable else "Redis does not answer")
    if able:
        detail = f"{able} serving, {workers.waiting_jobs} jobs waiting, model: {versions}"
    elif unusable:
        detail = f"{len(workers.serving)} heard of; Redis takes no heartbeats"
    else:
        detail = f"{len(workers.serving)} running, none with a model; run: movierec worker, movierec train"
    return {
        "database": _database(context),
        "data": (not movies, f"{movies:,} movies" if movies else "empty; run: movierec data import DIR"),
        "queue": (unusable is not None, unusable or "reachable"),
        **({"cache": _cache(workers)} if workers.has_own_cache else {}),
        "workers": (not able, detail),
        "warmer": (not workers.warming, f"{len(workers.warming)} running"),
        "trainer": (not workers.training, f"{len(workers.training)} running"),
        "model": _model(context),
        "background": _background(context.supervisor),
    }


def _cache(workers: Workers) -> tuple[bool, str]:
    """Tell whether workers can write what they computed, in a Redis of its own."""
    return workers.cache_refusal is not None, workers.cache_refusal or "reachable"


def _model(context: GatewayContext) -> tuple[bool, str]:
    """Tell whether the model in service was trained on the data that are there."""
    version = context.workers.newest_version
    if version is None:
        return True, "none yet"
    try:
        trained_on = context.store.manifest(version).data
    except ArtifactError as error:
        return True, str(error)
    if trained_on.fingerprint == context.catalogue.fingerprint:
        return False, f"trained on these data, {trained_on.name}"
    return True, (
        f"trained on other data ({trained_on.name}, {trained_on.fingerprint}) than the database holds "
        f"({context.catalogue.fingerprint}): movies that differ are left out; run: movierec train"
    )


def _background(supervisor: Supervisor) -> tuple[bool, str]:
    """Tell which background tasks fail; only those count without which no answer is right."""
    failing = {name: health for name, health in supervisor.health.items() if health.failure}
    if not failing:
        return False, f"{len(supervisor.health)} tasks run"
    detail = "; ".join(
        f"{name} fails, {health.restarts} restarts: {health.failure}" for name, health in failing.items()
    )
    return any(health.essential for health in failing.values()), detail


def _database(context: GatewayContext) -> tuple[bool, str]:
    try:
        probe(context.engine)
    except DBAPIError as error:
        return True, f"does not answer: {error.orig}"
    return False, "reachable"
