"""The baselines of serving, each as a process: ``python -m benchmarks.serving.baselines``.

Reads a :class:`Baseline` as JSON from standard input. The HTTP servers run under uvicorn as the gateway does:
one process, uvloop, httptools, no access log, no ``server`` header.
"""

import json
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

QUEUE = "noop"
NO_OP = "benchmarks.serving.baselines.no_op"


class Side(StrEnum):
    """Kinds of baselines."""

    FASTAPI = "fastapi"
    """A FastAPI route that returns a constant."""

    ASGI = "asgi"
    """The least that an ASGI application can do: the same status, headers and body without looking."""

    LOOK_UP = "look-up"
    """A FastAPI route that asks Redis for one key with ``redis.asyncio`` and returns a constant."""

    RQ = "rq"
    """RQ's ``SimpleWorker`` with its default settings."""


@dataclass(frozen=True)
class Baseline:
    """A baseline to run.

    Attributes
    ----------
    side : Side
        Kind of the baseline.
    port : int
        Port on loopback.
    body : str
        Body of each response.
    headers : list of (str, str)
        Headers of a response of :attr:`Side.ASGI`.
    redis_url : str
        Redis of :attr:`Side.LOOK_UP` and :attr:`Side.RQ`.
    key : str
        Key that :attr:`Side.LOOK_UP` reads.
    """

    side: Side
    port: int = 0
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    redis_url: str = ""
    key: str = ""


def no_op() -> None:
    """Do nothing: a job that costs only what RQ costs."""


def main() -> None:
    """Read a baseline from standard input, and run it until told to stop."""
    baseline = Baseline(**json.load(sys.stdin))
    if baseline.side == Side.RQ:
        _work(baseline.redis_url)
    elif baseline.side == Side.ASGI:
        _serve(_bare(baseline), baseline.port)
    else:
        _serve(_fastapi(baseline), baseline.port)


def _serve(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )


def _bare(baseline: Baseline) -> Any:
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.encode(), value.encode()) for name, value in baseline.headers],
    }
    end = {"type": "http.response.body", "body": baseline.body.encode()}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start)
            await send(end)

    return app


def _fastapi(baseline: Baseline) -> Any:
    import redis.asyncio
    from fastapi import FastAPI, Response

    app = FastAPI()
    body, key = baseline.body.encode(), baseline.key

    if baseline.side == Side.FASTAPI:

        @app.get("/")
        async def constant() -> Response:
            return Response(body, media_type="application/json")

        return app

    client = redis.asyncio.Redis.from_url(baseline.redis_url)

    @app.get("/")
    async def look_up() -> Response:
        await client.get(key)
        return Response(body, media_type="application/json")

    return app


def _work(url: str) -> None:
    import redis
    from rq import Queue, SimpleWorker

    connection = redis.Redis.from_url(url)
    SimpleWorker([Queue(QUEUE, connection=connection)], connection=connection).work()


if __name__ == "__main__":
    main()
