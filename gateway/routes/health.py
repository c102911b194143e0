"""Tells whether this process is alive, and whether it can answer."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.exc import DBAPIError

from gateway.background_tasks import Supervisor
from gateway.context import GatewayContext, context_of
from gateway.load.workers import Workers
from shared.contract.keys import Counter
from shared.database.files import probe
from shared.errors import ArtifactError
from shared.queue.heartbeat import Heartbeat

router = APIRouter(tags=["health"])

_OPTIONAL = frozenset({"warmer", "trainer", "model"})


class Alive(BaseModel):
    """This process runs."""

    status: str


class Check(BaseModel):
    """One thing that is needed."""

    ok: bool
    detail: str


class WorkersCheck(Check):
    """Whether there are workers, and how many."""

    serving: int = Field(description="Workers that have a model and answer questions.")
    warming: int = Field(description="Workers that compute answers ahead.")
    training: int = Field(description="Workers that train models.")
    queue_length: int = Field(description="Jobs with questions of users that wait.")


class Checks(BaseModel):
    """All that is needed, and what is only good to have: `warmer`, `trainer` and `model`."""

    database: Check
    data: Check
    queue: Check
    cache: Check | SkipJsonSchema[None] = Field(
        default=None, description="Only where rankings have a Redis of their own."
    )
    workers: WorkersCheck
    warmer: Check
    trainer: Check
    model: Check
    background: Check


class Readiness(BaseModel):
    """Whether questions can be answered, and what is missing if not."""

    ready: bool
    checks: Checks
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
    checks = _look(context)
    ready = all(check.ok for name, check in checks if name not in _OPTIONAL and check is not None)
    counters = {counter.value: context.workers.counters.get(counter.value, 0) for counter in Counter}
    body = {"ready": ready, "checks": checks.model_dump(exclude_none=True), "counters": counters}
    return Response(orjson.dumps(body), 200 if ready else 503, media_type="application/json")


def _look(context: GatewayContext) -> Checks:
    workers, movies = context.workers, len(context.catalogue)
    return Checks(
        database=_database(context),
        data=Check(
            ok=movies > 0,
            detail=f"{movies:,} movies" if movies else "empty; run: movierec data import DIR",
        ),
        queue=Check(ok=_unusable(workers) is None, detail=_unusable(workers) or "reachable"),
        cache=_cache(workers) if workers.has_own_cache else None,
        workers=_workers(workers),
        warmer=_running(workers.warming),
        trainer=_running(workers.training),
        model=_model(context),
        background=_background(context.supervisor),
    )


def _unusable(workers: Workers) -> str | None:
    return workers.refusal or (None if workers.reachable else "Redis does not answer")


def _workers(workers: Workers) -> WorkersCheck:
    """Tell whether there are workers that can answer."""
    able, versions = workers.able_workers, ", ".join(sorted(workers.versions)) or "none"
    if able:
        detail = f"{able} serving, {workers.waiting_jobs} jobs waiting, model: {versions}"
    elif _unusable(workers):
        detail = f"{len(workers.serving)} heard of; Redis takes no heartbeats"
    else:
        detail = f"{len(workers.serving)} running, none with a model; run: movierec worker, movierec train"
    return WorkersCheck(
        ok=able > 0,
        detail=detail,
        serving=able,
        warming=len(workers.warming),
        training=len(workers.training),
        queue_length=workers.waiting_jobs,
    )


def _running(workers: list[Heartbeat]) -> Check:
    return Check(ok=bool(workers), detail=f"{len(workers)} running")


def _cache(workers: Workers) -> Check:
    """Tell whether workers can write what they computed, in a Redis of its own."""
    return Check(ok=workers.cache_refusal is None, detail=workers.cache_refusal or "reachable")


def _model(context: GatewayContext) -> Check:
    """Tell whether the model in service was trained on the data that are there."""
    version = context.workers.newest_version
    if version is None:
        return Check(ok=False, detail="none yet")
    try:
        trained_on = context.store.manifest(version).data
    except ArtifactError as error:
        return Check(ok=False, detail=str(error))
    if trained_on.fingerprint == context.catalogue.fingerprint:
        return Check(ok=True, detail=f"trained on these data, {trained_on.name}")
    detail = (
        f"trained on other data ({trained_on.name}, {trained_on.fingerprint}) than the database holds "
        f"({context.catalogue.fingerprint}): movies that differ are left out; run: movierec train"
    )
    return Check(ok=False, detail=detail)


def _background(supervisor: Supervisor) -> Check:
    """Tell which background tasks fail; only those count without which no answer is right."""
    failing = {name: health for name, health in supervisor.health.items() if health.failure}
    if not failing:
        return Check(ok=True, detail=f"{len(supervisor.health)} tasks run")
    detail = "; ".join(
        f"{name} fails, {health.restarts} restarts: {health.failure}" for name, health in failing.items()
    )
    return Check(ok=not any(health.essential for health in failing.values()), detail=detail)


def _database(context: GatewayContext) -> Check:
    try:
        probe(context.engine)
    except DBAPIError as error:
        return Check(ok=False, detail=f"does not answer: {error.orig}")
    return Check(ok=True, detail="reachable")
