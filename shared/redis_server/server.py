"""An embedded Redis, for machines that have none running."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from shared.errors import MovierecError, ServiceError
from shared.processes.children import STOP_SECONDS, free_port, stop_process, tail
from shared.processes.locks import ProcessLock
from shared.processes.parent import die_with_parent
from shared.queue.connections import connect
from shared.redis_server.append_only_file import DamagedFileError, find_damage, require_manifest, set_aside
from shared.redis_server.binary import find_redis_server

_START_SECONDS = 10.0
_URL_FILE = "url"


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the embedded Redis of a running ``movierec up``, None if none runs."""
    try:
        url = (data_dir / "redis" / _URL_FILE).read_text(encoding="utf-8").strip()
        with connect(url) as client:
            client.ping()
    except (FileNotFoundError, redis.RedisError):  # a killed server leaves its file
        return None
    return url


class RedisServer:
    """A redis-server that lives as long as this process.

    It listens on loopback only, on a free port and with a random password, and writes to an append-only file,
    so that queued jobs outlive it. Its directory is locked, so that no other server writes to that file; a
    damaged file is set aside. While it runs, its URL is in a file that only its owner can read.

    Parameters
    ----------
    directory : Path
        Directory of its file and its log.
    tell : callable, optional
        Called with messages for the person at the terminal. Default: they go to standard error.
    """

    def __init__(self, directory: Path, tell: Callable[[str], None] | None = None) -> None:
        self.directory = directory
        self._tell = tell or _print_to_stderr
        self._log = directory / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_urlsafe(24)
        self._port = free_port()
        self._lock = ProcessLock(
            directory / "redis.lock", f"Another Redis uses {directory}", "Stop whatever started it."
        )
        self._locked = self._told = False

    @property
    def url(self) -> str:
        """Its URL, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Its process id, None if it was not started."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs and before it was started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it and wait until it answers; after a crash it comes back with the same URL and data.

        Raises
        ------
        BusyError
            If another server uses the directory.
        ServiceError
            If it does not answer, with the end of its log.
        """
        if not self._locked:
            self._lock.acquire(self._tell_who_is_waited_for, seconds=STOP_SECONDS)
            self._locked = True
        try:
            try:
                require_manifest(self.directory)
                self._launch()
            except DamagedFileError as error:
                aside = set_aside(self.directory)
                self._tell(
                    f"Redis cannot read its file ({error}), so it begins with an empty one; trainings that "
                    f"waited in it are lost. The damaged one is kept in {' and '.join(map(str, aside))}."
                )
                self._launch()
        except MovierecError:
            self.stop()
            raise

    def _launch(self) -> None:
        begin = self._log.stat().st_size if self._log.exists() else 0
        options = (
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\nlogfile {self._log.name}\n"
            'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\ndaemonize no\n'
            "aof-use-rdb-preamble no\n"  # commands, which another Redis or Valkey can read after this one
        )
        # The password goes through standard input, since every user of the machine sees arguments. Paths do
        # not: the configuration's syntax would take some of their characters for its own.
        self._process = subprocess.Popen(
            [Path(find_redis_server()).absolute(), "-"],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[self._lock.descriptor()],  # if we are killed, it keeps the lock until it ends
            preexec_fn=die_with_parent,  # noqa: PLW1509  # we have no threads yet, and it must not outlive us
        )
        self._lock.note(self._process.pid)
        assert self._process.stdin is not None
        self._process.stdin.write(options.encode())
        self._process.stdin.close()
        deadline = time.monotonic() + _START_SECONDS
        with connect(self.url) as client:
            while True:
                try:
                    client.ping()
                    self._publish_url()
                    return
                except redis.RedisError as error:  # not yet up, or still reading its file
                    if self._process.poll() is not None:
                        damage = find_damage(self._log, begin)
                        if damage is not None:
                            raise DamagedFileError(damage) from error
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise ServiceError(f"The embedded Redis did not start:\n{tail(self._log)}") from error
                    time.sleep(0.02)

    def stop(self) -> None:
        """Stop it after it has written its data; nothing happens if it does not run."""
        if self._process is not None:
            (self.directory / _URL_FILE).unlink(missing_ok=True)
            stop_process(self._process)
        if self._locked:
            self._lock.release()
            self._locked = False

    def _tell_who_is_waited_for(self, holder: str) -> None:
        if not self._told:
            self._tell(f"Waiting for another Redis in {self.directory} to end: {holder}.")
            self._told = True

    def _publish_url(self) -> None:
        path = self.directory / _URL_FILE
        path.unlink(missing_ok=True)  # left by a killed server, with any mode
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.url + "\n")


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
