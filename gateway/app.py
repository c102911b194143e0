"""Puts the gateway together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from gateway import paths, problems
from gateway.middleware import RequestContext
from gateway.problems import ProblemBody
from gateway.routes import health, jobs, models, movies, users
from gateway.state import open_state
from shared.settings import GatewaySettings

_DESCRIPTION = """
Movie recommendations over MovieLens data.

* Rankings that are not in the cache are computed by workers. When that takes longer than the wait budget, or
  the request has `Prefer: respond-async`, the answer is `202 Accepted` with the job's `Location`.
* Errors are `application/problem+json` (RFC 9457); `type` is stable.
* Every path also answers with a trailing slash, and to `HEAD`.
"""


def create_app(settings: GatewaySettings) -> FastAPI:
    """Return the gateway as an ASGI application.

    Parameters
    ----------
    settings : GatewaySettings
        Read once, by the process.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with open_state(settings) as state:
            app.state.gateway = state
            yield {"gateway": state}  # for gateway.protocol

    app = FastAPI(
        title="movierec",
        version=version("movierec"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        # The error that every route could have is described once, with its schema.
        responses={500: problems.InternalError.documented()},
    )
    app.state.settings = settings
    problems.install(app)
    for router in (users.router, movies.router, models.router, jobs.router):
        app.include_router(router, prefix=paths.API)
    app.include_router(health.router)

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("/docs")

    _add_schema(app, ProblemBody)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Prefer", "X-Request-ID"],
        expose_headers=[
            "ETag",
            "Location",
            "Retry-After",
            "X-Cache",
            "X-Data-Version",
            "X-Model-Outdated",
            "X-Model-Version",
            "X-Request-ID",
        ],
    )
    app.add_middleware(RequestContext)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _add_schema(app: FastAPI, model: type[ProblemBody]) -> None:
    """Put a schema that responses refer to, but no route returns, into the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {})[model.__name__] = (
            model.model_json_schema()
        )
        return document

    app.openapi = openapi  # type: ignore[method-assign]
