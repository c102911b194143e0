"""Carries out, inside a process of ours, what a test has ordered: to die at a stage, or to have another time.

Python runs this when it starts, since :class:`tests.system.stages.Orders` puts this directory on PYTHONPATH.
Stages are told by the bytes that go to Redis and by the files that are renamed, never by our own functions,
so that this holds however those are written. An order is a file, looked for at every step, so that it can be
given and withdrawn while the process runs.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

ORDERS = Path(os.environ["MOVIEREC_TEST_ORDERS"])
STARTED_PID = os.getpid()


def _role() -> str:
    words = sys.orig_argv
    if "--queue" in words:
        return words[words.index("--queue") + 1]
    return "gateway" if "gateway" in words else ""


class _Steps:
    """Watches the steps of one thread and dies when one of them was ordered to be the last."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._thread = threading.local()

    def begins(self, step: bytes) -> None:
        """Take note that something is about to be done."""
        last = getattr(self._thread, "last", None)
        if last is not None:
            self._thread.last = None
            self._die(*last)
        self._thread.step = step
        order = self._find("before", step)
        if order is not None:
            self._die(order, step)

    def ends(self, reply: object) -> None:
        """Take note that it is done, and what came of it: None if a queue was empty."""
        step = getattr(self._thread, "step", None)
        if step is not None and reply is not None:
            self._thread.step = None  # there may be more replies
            order = self._find("after", step)
            self._thread.last = None if order is None else (order, step)

    def _find(self, when: str, step: bytes) -> dict[str, Any] | None:
        for order in self._orders():
            if order["when"] == when and all(word.encode() in step for word in order["words"]):
                return order
        return None

    def _orders(self) -> list[dict[str, Any]]:
        where = "child" if os.getpid() != STARTED_PID else "parent"
        orders = []
        for path in ORDERS.glob("*.order"):
            try:
                order = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # withdrawn just now
                continue
            if order["role"] == self._role and where in order["where"]:
                orders.append(order | {"name": path.stem})
        return orders

    @staticmethod
    def _die(order: dict[str, Any], step: bytes) -> None:
        once = 0 if order["every_time"] else os.O_EXCL
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | once
            descriptor = os.open(ORDERS / f"{order['name']}.deaths", flags)
        except FileExistsError:  # it was carried out already, by another process
            return
        death = {"pid": os.getpid(), "parent": os.getppid(), "step": step.decode(errors="replace")}
        os.write(descriptor, json.dumps(death).encode() + b"\n")
        os.close(descriptor)
        if order["victim"] == "parent":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)  # a child that is worth anything is gone long before
        os.kill(os.getpid(), signal.SIGKILL)


def _watch_redis(steps: _Steps) -> None:
    import redis.asyncio.connection
    from redis.connection import AbstractConnection

    send, read = AbstractConnection.send_packed_command, AbstractConnection.read_response
    AsyncConnection = redis.asyncio.connection.AbstractConnection
    send_async = AsyncConnection.send_packed_command

    def as_bytes(command: Any) -> bytes:
        pieces = [command] if isinstance(command, str | bytes) else command
        return b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces)

    def send_packed_command(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        steps.begins(as_bytes(command))
        return send(self, command, *arguments, **options)

    def read_response(self: Any, *arguments: Any, **options: Any) -> Any:
        reply = read(self, *arguments, **options)
        steps.ends(reply)
        return reply

    async def send_packed_command_async(self: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        steps.begins(as_bytes(command))
        return await send_async(self, command, *arguments, **options)

    _replace(AbstractConnection, send_packed_command=send_packed_command, read_response=read_response)
    _replace(AsyncConnection, send_packed_command=send_packed_command_async)


def _replace(owner: object, **functions: Any) -> None:
    for name, function in functions.items():
        setattr(owner, name, function)


def _watch_files(steps: _Steps) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            steps.begins(f"rename to {arguments[1]}".encode())
            steps.ends("done")
        elif event == "open" and isinstance(arguments[0], str | os.PathLike) and arguments[2] & os.O_ACCMODE:
            _limit_files(str(arguments[0]))

    sys.addaudithook(hook)


def _limit_files(path: str) -> None:
    """Let no file of a model grow beyond the size that is ordered, as on a disk that is full."""
    if f"{os.sep}model{os.sep}" in path:
        try:
            soft = int((ORDERS / "file-size").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            soft = resource.RLIM_INFINITY
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _watch_clocks() -> None:
    """Add the seconds that are ordered to what this process takes for the time.

    ``clock-<pid>`` changes the time of day alone, as whoever sets a clock does; ``later-<pid>`` changes also
    the time that nobody can set, as if so much had passed.
    """
    from datetime import timedelta

    import rq.utils

    def seconds(name: str) -> float:
        try:
            return float((ORDERS / f"{name}-{STARTED_PID}").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0.0

    def shift() -> float:
        return seconds("clock") + seconds("later")

    real_time, real_ns, real_monotonic, real_now = time.time, time.time_ns, time.monotonic, rq.utils.now
    time.time = lambda: real_time() + shift()
    time.time_ns = lambda: real_ns() + int(shift() * 1e9)
    time.monotonic = lambda: real_monotonic() + seconds("later")
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "rq" and getattr(module, "now", None) is real_now:
            _replace(module, now=lambda: real_now() + timedelta(seconds=shift()))


ROLE = _role()
if ROLE:
    watched = _Steps(ROLE)
    _watch_redis(watched)
    _watch_clocks()
    if ROLE == "train":
        _watch_files(watched)
