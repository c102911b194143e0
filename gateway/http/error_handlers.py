"""Turns exceptions into problem documents."""

from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from gateway.http.problems import (
    DatabaseUnavailable,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    QueueUnreachable,
)

log = structlog.get_logger(__name__)


def problem_of(error: Exception) -> Problem:
    """Return the problem that a client is told of an error, and log what it is not told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RedisError):
        log.warning("redis failed", reason=str(error))
        return QueueUnreachable.because(error)
    if isinstance(error, SQLAlchemyError):
        log.warning("database failed", reason=str(error))
        return DatabaseUnavailable("The database does not answer; try again soon.")
    log.error("request failed", exc_info=error)
    return InternalError("That was our mistake; the log tells more under this request's id.")


def install(app: FastAPI) -> None:
    """Make an application answer every error with a problem document."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return InvalidRequest("The body is not JSON.").response()
        kind = request.headers.get("Content-Type", "")
        if request.method == "POST" and "json" not in kind:
            detail = f"Send JSON with the header 'Content-Type: application/json' (given: {kind[:80]!r})."
            return InvalidRequest(detail).response()
        return InvalidRequest(_describe(error.errors())).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_allowed_methods(request))}
            if request.method == HTTPMethod.OPTIONS:
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
            detail = f"{request.method} is not possible here; use {headers['Allow']}."
            return MethodNotAllowed(detail, headers).response()
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound(
                f"There is nothing at {request.url.path}; see {request.scope['root_path']}/docs."
            ).response()
        return InvalidRequest(str(error.detail)).response()

    for kind in (RedisError, SQLAlchemyError, Exception):
        app.add_exception_handler(kind, _unexpected)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of a request's path; a router names those of one of its routes only."""
    allowed = []
    for method in HTTPMethod:
        scope: Scope = {name: request.scope[name] for name in ("type", "path", "root_path", "headers")}
        scope["method"] = method.value
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            allowed.append(method.value)
    # HEAD is GET without the body, see RequestContext; OPTIONS is answered with these methods.
    return sorted({*allowed, "OPTIONS", *(["HEAD"] if "GET" in allowed else [])})


async def _unexpected(request: Request, error: Exception) -> Response:
    return problem_of(error).response()


def _describe(errors: Any) -> str:
    """Put pydantic's errors into one sentence each, with the value that was sent."""
    sentences = []
    for error in errors:
        place = ".".join(str(part) for part in error["loc"] if part not in {"body", "path", "query"})
        where = f"{place}: " if place else ""
        value = error.get("input")
        given = f" (given: {str(value)[:80]!r})" if isinstance(value, str | int | float) else ""
        sentences.append(f"{where}{error['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(sentences) + "."
