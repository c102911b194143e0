"""A Redis of our own, for those who have none."""

import os
import secrets
import subprocess
import time
from pathlib import Path

import redis
from pydantic import SecretStr

from cli.append_only_file import DamagedFileError, find_damage, require_manifest, set_aside
from cli.console import status
from cli.redis_binary import find_redis_server
from shared.errors import MovierecError, ServiceError
from shared.processes.children import STOP_SECONDS, free_port, stop_process, tail
from shared.processes.locks import ProcessLock
from shared.processes.parent import die_with_parent
from shared.queue.connections import connect
from shared.settings import Settings, WorkerSettings, load

_START_SECONDS = 10.0
_URL_FILE = "url"


def require_redis(settings: Settings) -> None:
    """Check that queue and cache answer.

    Raises
    ------
    ServiceError
        If one of them does not.
    """
    for name, url in (("QUEUE_URL", settings.queue), ("CACHE_URL", settings.cache)):
        with connect(url) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                raise ServiceError(f"The Redis of {name} does not answer: {error}") from None


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the embedded Redis of a ``movierec up`` that runs, None if none does."""
    try:
        url = (data_dir / "redis" / _URL_FILE).read_text(encoding="utf-8").strip()
        with connect(url) as client:
            client.ping()
    except (FileNotFoundError, redis.RedisError):  # a killed one leaves its file
        return None
    return url


def service_settings() -> WorkerSettings:
    """Return settings with the Redis of the service that runs: of QUEUE_URL, else of ``movierec up``.

    Raises
    ------
    ServiceError
        If there is none.
    """
    settings = load(WorkerSettings)
    if settings.queue_url is None:
        url = running_url(settings.data_dir)
        if url is not None:
            settings = load(WorkerSettings, queue_url=SecretStr(url))
    try:
        require_redis(settings)
    except ServiceError:
        if settings.queue_url is not None:
            raise
        raise ServiceError(
            f"No service runs with the data in {settings.data_dir}: start one with movierec up, or set "
            "QUEUE_URL (and CACHE_URL) to the Redis of one that runs elsewhere."
        ) from None
    return settings


class RedisServer:
    """A redis-server that lives as long as this process.

    Its directory is locked, so that no other one writes to the same file. A damaged file is set aside.

    It listens on loopback only, on a free port and with a random password, and writes what it is told to an
    append-only file, so that queued jobs outlive it. Where it can be reached stands in a file that only its
    owner reads, for as long as it runs.

    Parameters
    ----------
    directory : Path
        Of its file and its log.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
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
        """Where it can be reached, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Its process, None if it was not started."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs or before it started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start and wait until it answers; one that died comes back with the same address and data.

        Raises
        ------
        BusyError
            If another one uses the directory.
        ServiceError
            If it does not, with the end of its log.
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
                status.print(
                    f"Redis cannot read its file ({error}), so it begins with an empty one; trainings that "
                    f"waited in it are lost. The damaged one is kept in {' and '.join(map(str, aside))}.",
                    markup=False,
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
        # The password goes in by standard input: arguments are visible to every user of the machine. No path
        # does: what it may have in it means something in such a file.
        self._process = subprocess.Popen(
            [Path(find_redis_server()).absolute(), "-"],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[self._lock.descriptor()],  # should we be killed, the directory is its own until it ends
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
        """Stop it, its data written; nothing happens if it does not run."""
        if self._process is not None:
            (self.directory / _URL_FILE).unlink(missing_ok=True)
            stop_process(self._process)
        if self._locked:
            self._lock.release()
            self._locked = False

    def _tell_who_is_waited_for(self, holder: str) -> None:
        if not self._told:
            status.print(f"Waiting for another Redis in {self.directory} to end: {holder}.", markup=False)
            self._told = True

    def _publish_url(self) -> None:
        path = self.directory / _URL_FILE
        path.unlink(missing_ok=True)  # of one that was killed; its mode may be any
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.url + "\n")
