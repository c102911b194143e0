"""Requests that are sent together are parsed one after the other, and only while their answers are taken."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from gateway.fast_path.limits import Limits
from gateway.fast_path.protocol import FastPathProtocol
from gateway.http.responses import PUBLIC
from gateway.rankings.answer_cache import Answer, AnswerCache
from shared.settings import GatewaySettings

PATHS = [b"/api/v1/movies/1", b"/api/v1/movies/2"]
N = 2000


class Transport:
    """Takes everything, or nothing."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.reading = True

    def write(self, data: bytes) -> None:
        self.ids += re.findall(rb"x-request-id: (n\d+)", data)

    def answers(self) -> int:
        return len(self.ids)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def no_app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("a plain question became a request of the framework")


def with_protocol(test: Callable[[FastPathProtocol, Transport], Any], size: int) -> None:
    """Run a test with a connection to a gateway that has answers of this size in its memory."""

    async def run() -> None:
        answer_cache = AnswerCache(2**26, timedelta(hours=1))
        for number, path in enumerate(PATHS):
            answer_cache.put(
                path, number, answer_cache.token(number), Answer(b"%d" % number * size, "", PUBLIC)
            )
        server_state = ServerState()
        limits = Limits(GatewaySettings(), cast(Any, server_state.connections))
        state = {"gateway": SimpleNamespace(answer_cache=answer_cache), "limits": limits}
        config = uvicorn.Config(no_app, http=FastPathProtocol, ws="none", log_config=None)
        config.load()
        protocol, transport = FastPathProtocol(config, server_state, state), Transport()
        protocol.connection_made(cast(asyncio.Transport, transport))
        try:
            await test(protocol, transport)
            assert not protocol.pipeline
            assert not protocol.tasks
        finally:
            limits.stop()

    asyncio.run(run())


BURST = b"".join(
    b"GET %b HTTP/1.1\r\nHost: x\r\nX-Request-ID: n%d\r\n\r\n" % (PATHS[i % 2], i) for i in range(N)
)


def assert_all_in_order(transport: Transport) -> None:
    assert transport.ids == [b"n%d" % i for i in range(N)]


def test_others_have_their_turn_between_the_answers_to_a_burst() -> None:
    async def test(protocol: FastPathProtocol, transport: Transport) -> None:
        protocol.data_received(BURST)
        stopped = not transport.reading
        assert stopped
        seen = [transport.answers()]
        while not transport.reading:
            await asyncio.sleep(0)
            seen.append(transport.answers())
        await asyncio.sleep(0)
        assert max(after - before for before, after in pairwise(seen)) <= 16
        assert_all_in_order(transport)

    with_protocol(test, 10)


def test_nothing_is_parsed_while_answers_are_not_taken() -> None:
    async def test(protocol: FastPathProtocol, transport: Transport) -> None:
        def refuse(data: bytes) -> None:
            Transport.write(transport, data)
            protocol.pause_writing()

        transport.write = refuse  # type: ignore[method-assign]
        protocol.data_received(BURST)
        answers = 0
        while answers < N:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert answers < transport.answers() <= answers + 3  # 64 KB and one answer
            answers = transport.answers()
            assert transport.reading == (answers == N)
            protocol.resume_writing()
        assert_all_in_order(transport)

    with_protocol(test, 30_000)


def test_a_burst_may_be_cut_anywhere() -> None:
    async def test(protocol: FastPathProtocol, transport: Transport) -> None:
        for size in (1, 2, 3, 7, 50, 61, 4096):
            transport.ids.clear()
            for start in range(0, len(BURST), size):
                protocol.data_received(BURST[start : start + size])
                while not transport.reading:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert_all_in_order(transport)

    with_protocol(test, 1)
