"""The two ways to make load.

- A closed loop keeps a number of connections busy: each sends its next request when it has its response. It
  finds the peak.
- An open loop sends requests at a rate, whether responses come or not, as the users of a service do. Latency
  counts from the moment at which a request was due, even if it had to wait for a connection, so a server that
  stalls cannot hide that by delaying the requests.
"""

import asyncio
import contextlib
import math
import random
import time
from array import array
from collections import Counter, deque
from collections.abc import Coroutine, Iterator

from benchmarks.load.connection import Connection, header
from benchmarks.load.contract import HOST, Load, Outcome, ordered, percentiles

_RECONNECT_SECONDS = 0.05
_CONNECTED_AT_ONCE = 64
_TICK_SECONDS = 0.001
"""Requests that are due within it leave together: timers are not finer, and spinning would cost a core."""


def _milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: value * 1000 for name, value in seconds.items()}


class _Run:
    """What both kinds of loops do with answers."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.bytes_received = 0
        self._requests = ordered(
            [f"GET {path} HTTP/1.1\r\nHost: {HOST}:{load.port}\r\n\r\n".encode() for path in load.paths], load
        )
        self._begin = self._end = self._last = self._cpu_before = 0.0
        self._latencies = array("d")
        self._since_sent = array("d")
        self._late = array("d")
        self._statuses: Counter[bytes] = Counter()
        self._slowest: dict[bytes, float] = {}
        self._cache: Counter[bytes] = Counter()
        self._versions: set[bytes] = set()
        self._ok = [0] * (math.ceil(load.seconds + load.drain_seconds) + 2)
        self._errors = 0
        self._opened = 0
        self._connections: set[Connection] = set()
        self._under_way = 0
        self._over = False  # no request will be sent any more
        self._done = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        raise NotImplementedError

    def idle(self, connection: Connection) -> None:
        """Take a connection that has its answer."""
        raise NotImplementedError

    def replace(self) -> None:
        """Make up for a connection that was lost."""
        raise NotImplementedError

    def counts(self, now: float) -> bool:
        """Tell whether an answer that comes now is one of the outcome."""
        raise NotImplementedError

    def answered(self, connection: Connection, head: bytes, due: float, sent: float) -> None:
        now = time.perf_counter()
        self._under_way -= 1
        lower = head.lower()
        if self.counts(now):
            self._last = now
            latency = now - due
            self._latencies.append(latency)
            self._since_sent.append(now - sent)
            status = head[9:12]
            self._statuses[status] += 1
            if latency > self._slowest.get(status, 0.0):
                self._slowest[status] = latency
            if status == b"200":
                self._ok[int(now - self._begin)] += 1
            if cache := header(head, lower, b"\r\nx-cache:"):
                self._cache[cache] += 1
            if version := header(head, lower, b"\r\nx-model-version:"):
                self._versions.add(version)
        if b"\r\nconnection: close" in lower:
            connection.end()  # then replaced
        else:
            self.idle(connection)
        self._look_for_end()

    def lost(self, connection: Connection, *, asked: bool) -> None:
        self._connections.discard(connection)
        if asked:
            self._under_way -= 1
            self._errors += self.counts(time.perf_counter())
        self.replace()
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self._over and self._under_way == 0:
            self._done.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), HOST, self.load.port)
        self._opened += 1
        if not connection.lost:
            self._connections.add(connection)
        return connection

    async def _start(self) -> None:
        if self.load.start_at is not None:
            await asyncio.sleep(max(0.0, self.load.start_at - time.time()))
        self._cpu_before = time.process_time()
        self._begin = self._last = time.perf_counter()
        self._end = self._begin + self.load.seconds

    async def _drain(self) -> None:
        self._over = True
        self._look_for_end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.load.drain_seconds):
                await self._done.wait()

    def _outcome(self, seconds: float) -> Outcome:
        unanswered = self._under_way
        for connection in list(self._connections):
            connection.end()
        last_second = max((second for second, n in enumerate(self._ok) if n), default=-1)
        return Outcome(
            requests=len(self._latencies),
            seconds=seconds,
            statuses={status.decode(): n for status, n in sorted(self._statuses.items())},
            latency_ms=_milliseconds(percentiles(self._latencies)),
            since_sent_ms=_milliseconds(percentiles(self._since_sent)),
            slowest_ms=_milliseconds({status.decode(): t for status, t in sorted(self._slowest.items())}),
            cache={value.decode(): n for value, n in sorted(self._cache.items())},
            versions=sorted(version.decode() for version in self._versions),
            ok_per_second=self._ok[: max(last_second + 1, math.ceil(seconds))],
            bytes_received=self.bytes_received,
            connections=self._opened,
            connection_errors=self._errors,
            unanswered=unanswered,
            late_ms=percentiles(self._late).get("p99", 0.0) * 1000,
            elapsed_seconds=time.perf_counter() - self._begin,
            cpu_seconds=time.process_time() - self._cpu_before,
        )


class _ClosedLoop(_Run):
    """So many connections, each of which asks again when it has its answer."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._exhausted = False

    async def run(self) -> Outcome:
        waiting: list[Connection] = []
        for start in range(0, self.load.connections, _CONNECTED_AT_ONCE):
            n = min(_CONNECTED_AT_ONCE, self.load.connections - start)
            waiting += await asyncio.gather(*(self._connect() for _ in range(n)))
        await self._start()
        for connection in waiting:
            self.idle(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.load.seconds):
                await self._done.wait()
        seconds = self._last - self._begin if self._exhausted else self.load.seconds
        await self._drain()
        return self._outcome(seconds)

    def idle(self, connection: Connection) -> None:
        if connection.lost:  # while others were still being opened
            return
        now = time.perf_counter()
        request = None if now >= self._end else next(self._requests, None)
        if request is not None:
            self._under_way += 1
            connection.ask(request, now)
            return
        self._over = True
        self._exhausted |= now < self._end
        self._look_for_end()

    def replace(self) -> None:
        if not self._over:
            self._spawn(self._open_another())

    async def _open_another(self) -> None:
        while not self._over:
            try:
                self.idle(await self._connect())
                return
            except OSError:
                self._errors += 1
                await asyncio.sleep(_RECONNECT_SECONDS)

    def counts(self, now: float) -> bool:
        return now <= self._end


class _OpenLoop(_Run):
    """Requests at a rate, over as many connections as are needed."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._free: list[Connection] = []
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._opening = 0

    async def run(self) -> Outcome:
        await self._start()
        gaps = self._gaps()
        due = self._begin + next(gaps)
        while due < self._end:
            now = time.perf_counter()
            while due <= now and due < self._end:
                request = next(self._requests, None)
                if request is None:
                    due = self._end
                    break
                self._late.append(now - due)
                self._under_way += 1
                self._send(request, due)
                due += next(gaps)
            await asyncio.sleep(max(_TICK_SECONDS, min(due, self._end) - time.perf_counter()))
        await self._drain()
        return self._outcome(self.load.seconds)

    def _gaps(self) -> Iterator[float]:
        assert self.load.rate is not None
        if self.load.spacing == "even":
            while True:
                yield 1 / self.load.rate
        rng = random.Random(self.load.seed)
        while True:
            yield rng.expovariate(self.load.rate)

    def _send(self, request: bytes, due: float) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                connection.ask(request, due)
                return
            connection.end()
        self._waiting.append((request, due))
        if len(self._connections) + self._opening < self.load.connections:
            self.replace()

    def idle(self, connection: Connection) -> None:
        if connection.lost:
            return
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def replace(self) -> None:
        if self._waiting:
            self._opening += 1
            self._spawn(self._open_another())

    async def _open_another(self) -> None:
        try:
            connection = await self._connect()
        except OSError:
            self._errors += 1
            if self._waiting:  # else every request would wait for a server that is not there
                self._waiting.popleft()
                self._under_way -= 1
                self._look_for_end()
            return
        finally:
            self._opening -= 1
        self.idle(connection)

    def counts(self, now: float) -> bool:
        return True


async def generate(load: Load) -> Outcome:
    """Make load from this process and return what came back."""
    return await (_ClosedLoop(load) if load.rate is None else _OpenLoop(load)).run()
