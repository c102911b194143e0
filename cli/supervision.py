"""Starts the whole service on one machine, restarts what dies, and stops everything at the end."""

import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from cli.addresses import base_url, require_address
from cli.console import output, tell
from cli.prepare import is_prepared
from cli.service import require_redis
from shared.contract.jobs import QueueName
from shared.errors import ConfigurationError, ServiceError
from shared.processes.children import STOP_SECONDS, Child, movierec_command, stop_process, tail
from shared.processes.locks import ProcessLock
from shared.processes.parent import die_with_parent
from shared.redis_server.server import RedisServer
from shared.settings import GatewaySettings, WorkerSettings, load

_READY_SECONDS = 90.0
_POLL_SECONDS = 0.1
_RESTART_SECONDS = (0.5, 1, 2, 5, 10)
"""Pauses before a dead child is restarted; after a minute of running, the first pause applies again."""
_STABLE_SECONDS = 60.0
_TRAINER_STOP_SECONDS = 2.0
"""A training takes too long to wait for; it stays in the queue and is run again after the next start."""

_HELPERS = frozenset({"warmer", "trainer"})


class _Stopped(BaseException):
    """Raised by SIGINT and SIGTERM."""


def run_up(
    *,
    data: Path | None,
    host: str | None,
    port: int | None,
    workers: int,
    algorithm: str | None,
    skip_bad_rows: bool,
) -> None:
    """Start Redis, import, train, start workers and gateway, and keep them up until told to stop.

    Raises
    ------
    BusyError
        If another ``movierec up`` runs with the same data.
    ServiceError, ConfigurationError, MovierecError
        If something does not start; everything else is stopped again.
    """
    settings = load(GatewaySettings, host=host, port=port)
    lock = ProcessLock(
        settings.data_dir / "up.lock",
        f"movierec up runs already with the data in {settings.data_dir.absolute()}",
        "Stop it first, or set DATA_DIR to another directory.",
    )
    with lock.held():
        require_address(settings, by_option=host is not None)
        _run(settings, data=data, workers=workers, algorithm=algorithm, skip_bad_rows=skip_bad_rows)


def _run(
    settings: GatewaySettings, *, data: Path | None, workers: int, algorithm: str | None, skip_bad_rows: bool
) -> None:
    redis_server: RedisServer | None = None
    children: list[Child] = []
    with _signals_raise():
        try:
            environment = {"DATA_DIR": str(settings.data_dir.resolve())}
            if settings.queue_url is None:
                redis_server = RedisServer(settings.data_dir / "redis", tell)
                redis_server.start()
                environment["QUEUE_URL"] = redis_server.url
            else:
                require_redis(settings)
            if not is_prepared(load(WorkerSettings), data, algorithm):
                _prepare(data, algorithm, skip_bad_rows)
            token_file = _admin_token(settings, environment)
            children = _children(settings, workers, environment)
            # Starting takes two seconds of a core, so the processes that no request needs come last.
            for child in children:
                if child.name not in _HELPERS:
                    child.start()
            _wait_until_ready(settings, children, workers)
            for child in children:
                if child.name in _HELPERS:
                    child.start()
            _welcome(settings, token_file)
            _keep_up(children, redis_server)
        except _Stopped:
            tell("\nStopping ...")
        finally:
            _stop(children, redis_server)
    tell("Everything is stopped.")


def _prepare(data: Path | None, algorithm: str | None, skip_bad_rows: bool) -> None:
    """Import and train in a separate process, which frees its memory when it ends."""
    command = movierec_command("up", "--prepare-only")
    if data is not None:
        command += ["--data", str(data)]
    if algorithm is not None:
        command += ["--algorithm", algorithm]
    if skip_bad_rows:
        command += ["--skip-bad-rows"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509
    )
    try:
        code = process.wait()
    except _Stopped:
        stop_process(process)
        raise
    if code != 0:
        raise ServiceError("Nothing was started, since data or model are missing; see above.")


def _admin_token(settings: GatewaySettings, environment: dict[str, str]) -> Path | None:
    """Give the gateway a token; a generated one is kept in a file that only its owner can read."""
    if settings.admin_token is not None:
        return None
    path = settings.data_dir / "admin-token"
    try:
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(token + "\n")
    environment["ADMIN_TOKEN"] = token
    return path


def _children(settings: GatewaySettings, workers: int, environment: dict[str, str]) -> list[Child]:
    logs = settings.data_dir / "logs"
    children = [
        Child(
            f"worker-{number}",
            ["worker", "--queue", "serve"],
            environment | {"HEARTBEAT_FILE": str(logs.resolve() / f"worker-{number}.alive")},
            logs,
        )
        for number in range(1, workers + 1)
    ]
    for name, queue, stop_seconds in (
        ("warmer", QueueName.WARM, STOP_SECONDS),
        ("trainer", QueueName.TRAIN, _TRAINER_STOP_SECONDS),
    ):
        children.append(
            Child(
                name,
                ["worker", "--queue", queue],
                environment | {"HEARTBEAT_FILE": str(logs.resolve() / f"{name}.alive")},
                logs,
                stop_seconds=stop_seconds,
            )
        )
    address = ["--host", settings.host, "--port", str(settings.port)]
    children.append(Child("gateway", ["gateway", *address], environment, logs))
    return children


def _wait_until_ready(settings: GatewaySettings, children: list[Child], workers: int) -> None:
    """Wait until every worker serves.

    Raises
    ------
    ServiceError
        If a child dies, with the end of its log, or if it takes too long.
    """
    deadline = time.monotonic() + _READY_SECONDS
    detail = "no answer"
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        while time.monotonic() < deadline:
            for child in children:
                if child.exit_code is not None:
                    raise ServiceError(
                        f"{child.name} died at its start with exit code {child.exit_code}; "
                        f"the end of {child.log}:\n{tail(child.log)}"
                    )
            try:
                response = client.get(f"{base_url(settings)}/readyz")
                check = response.json()["checks"]["workers"]
                detail = check["detail"]
                if response.status_code == 200 and check["serving"] == workers:
                    return
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            time.sleep(_POLL_SECONDS)
    raise ServiceError(f"Not ready after {_READY_SECONDS:.0f} s ({detail}); see {children[0].log.parent}.")


def _welcome(settings: GatewaySettings, token_file: Path | None) -> None:
    url = base_url(settings)
    suggestions, models = (
        shlex.quote(f"{url}/api/v1/{path}") for path in ("users/1/suggested_movies", "models")
    )
    token = f"$(cat {shlex.quote(str(token_file))})" if token_file else "$ADMIN_TOKEN"
    lines = [
        "",
        f"movierec is up:  {url}",
        f"documentation:   {url}/docs",
        f"try:             curl {suggestions}",
        f'retrain:         curl -X POST -H "Authorization: Bearer {token}" '
        f"-H 'Content-Type: application/json' -d '{{}}' {models}",
        f"logs:            {settings.data_dir / 'logs'}",
        "Ctrl-C stops everything.",
    ]
    tell("\n".join(lines), output)


def _keep_up(children: list[Child], redis_server: RedisServer | None) -> None:
    """Restart children that die, until a signal arrives."""
    failures = dict.fromkeys(children, 0)
    started = dict.fromkeys(children, time.monotonic())
    due: dict[Child, float] = {}
    while True:
        if redis_server is not None and redis_server.exit_code is not None:
            tell(f"Redis ended with exit code {redis_server.exit_code}; starting it again.")
            redis_server.start()
        now = time.monotonic()
        for child in children:
            if child in due:
                if now >= due[child]:
                    del due[child]
                    child.start()
                    started[child] = now
            elif child.exit_code is not None:
                if now - started[child] > _STABLE_SECONDS:
                    failures[child] = 0
                pause = _RESTART_SECONDS[min(failures[child], len(_RESTART_SECONDS) - 1)]
                failures[child] += 1
                due[child] = now + pause
                tell(
                    f"{child.name} ended with exit code {child.exit_code}; starting it again in {pause} s. "
                    f"Its log: {child.log}",
                )
        time.sleep(_POLL_SECONDS)


def _stop(children: list[Child], redis_server: RedisServer | None) -> None:
    """Stop the gateway first, then the workers it needs, and Redis last."""
    for group in (children[-1:], children[:-1]):
        for child in group:
            child.ask_to_stop()
        for child in group:
            child.stop()
    if redis_server is not None:
        redis_server.stop()


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into an exception, and ignore further ones while stopping."""

    def handle(signum: int, frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stopped as error:  # it arrived before anything was started
        raise ConfigurationError("Stopped before anything was started.") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
