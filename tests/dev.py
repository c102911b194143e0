"""``make dev``: the service in one terminal, its processes started again when their code changes.

Redis, the data and the model are those of ``movierec up``, in ``DATA_DIR``. Each process of ours is run by
watchfiles, which ends and starts it when a file of its packages changes.
"""

import argparse
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from shared.errors import MovierecError
from shared.processes.children import STOP_SECONDS, movierec_command, python_command
from shared.processes.parent import die_with_parent
from shared.redis_server.server import RedisServer
from shared.settings import GatewaySettings, load

PROJECT = Path(__file__).parent.parent

WATCHED = {
    "gateway": ["gateway", "shared", "cli"],
    "worker": ["worker", "shared", "cli"],
}
"""The packages whose changes restart a command."""


def watching(command: str, *options: str) -> list[str]:
    """Return how to run a command of ours so that it is started again when its code changes."""
    watcher = python_command("watchfiles", "--sigint-timeout", f"{STOP_SECONDS:.0f}")
    target = ["--target-type", "command", shlex.join(movierec_command(command, *options))]
    return [*watcher, *target, *(str(PROJECT / package) for package in WATCHED[command])]


def run(commands: list[list[str]], environment: dict[str, str]) -> int:
    """Run commands until one ends or a signal comes, then end all of them.

    Returns
    -------
    int
        0 after a signal, 1 if one of them ended by itself.
    """
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on once
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        for command in commands
    ]
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.1)
    except KeyboardInterrupt:
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for process in processes:
            process.terminate()  # once: a second signal would have watchfiles end before what it runs
        for process in processes:
            process.wait()
    return 1


def main() -> int:
    """Start everything; return the exit code."""
    parser = argparse.ArgumentParser(prog="make dev", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="directory or zip of a MovieLens data set")
    parser.add_argument("--algorithm", help="of the model, if one is to be trained")
    parser.add_argument("--port", default="8000", help="of the gateway")
    parser.add_argument("--workers", type=int, default=1, help="how many workers")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)

    settings = load(GatewaySettings)
    environment = {}
    if settings.admin_token is None:
        environment["ADMIN_TOKEN"] = secrets.token_urlsafe(16)
        print(f"ADMIN_TOKEN={environment['ADMIN_TOKEN']}", flush=True)
    with ExitStack() as stack:
        try:
            if settings.queue_url is None:
                server = RedisServer(settings.data_dir / "redis")
                server.start()
                stack.callback(server.stop)
                environment["QUEUE_URL"] = server.url
            prepare = movierec_command("up", "--prepare-only")
            for name in ("data", "algorithm"):
                if getattr(options, name):
                    prepare += [f"--{name}", getattr(options, name)]
            code = subprocess.run(prepare, check=False).returncode
            if code != 0:
                return code
        except MovierecError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
        commands = [watching("worker", "--queue", "serve") for _ in range(options.workers)]
        commands += [watching("worker", "--queue", "train"), watching("gateway", "--port", options.port)]
        return run(commands, environment)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
