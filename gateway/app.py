"""Builds the gateway as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.context import open_context
from gateway.http import error_handlers, problems, urls
from gateway.http.middleware import EXPOSED_HEADERS, Cors, ErrorBoundary, RequestContext
from gateway.http.path_prefix import Prefix
from gateway.http.problems import ProblemBody
from gateway.routes import documentation, health, jobs, models, movies, users
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
        async with open_context(settings) as context:
            app.state.gateway = context
            yield {"gateway": context}  # for gateway.fast_path.protocol

    app = FastAPI(
        title="movierec",
        version=version("movierec"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # gateway.routes.documentation has them, without files from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        # The error that every route could have is described once, with its schema.
        responses={500: problems.InternalError.documented()},
    )
    app.state.settings = settings
    error_handlers.install(app)
    for router in (users.router, movies.router, models.router, models.writing, jobs.router):
        app.include_router(router, prefix=urls.API)
    app.include_router(health.router)
    app.include_router(documentation.router)
    _add_schema(app, ProblemBody)
    # From the inside out.
    app.add_middleware(ErrorBoundary)
    app.add_middleware(
        Cors,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Prefer", "X-Request-ID"],
        expose_headers=EXPOSED_HEADERS,
    )
    app.add_middleware(RequestContext, prefix=Prefix.of_settings(settings))
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
