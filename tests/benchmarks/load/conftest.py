"""A server that counts what the load generator asks."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

from shared.processes.children import free_port

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class CountingApp:
    """Answers by path, and remembers what it was asked and over which connections."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.clients: set[tuple[str, int]] = set()
        self.first_asked = 0.0
        self.lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.paths.append(path)
        self.first_asked = self.first_asked or time.time()
        self.clients.add(tuple(scope["client"]))
        status, body, headers = 200, b"x" * 3000, [(b"x-model-version", b"V1")]
        if path == "/missing":
            status, body = 404, b""
        elif path == "/unchanged":
            status, body = 304, b""
        elif path == "/slow":
            await asyncio.sleep(0.2)
        elif path == "/one-at-a-time":
            async with self.lock:
                await asyncio.sleep(0.02)
        elif path == "/long":
            body *= 500
        elif path == "/last":
            headers.append((b"connection", b"close"))
        headers.append((b"x-cache", b"hit" if path == "/cached" else b"miss"))
        if status != 304:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def app() -> CountingApp:
    return CountingApp()


@pytest.fixture
def port(app: CountingApp) -> Iterator[int]:
    number = free_port()
    config = uvicorn.Config(app, port=number, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield number
    server.should_exit = True
    thread.join()
