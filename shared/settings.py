"""Settings from the environment and from a ``.env`` file; one class per process.

Every variable is described in ``.env.example``, under the name of its field in capitals.
"""

import json
import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import ConfigurationError

PATH_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,64}){0,16}")
"""Paths that the service can be mounted below: plain segments that need no quoting in links and headers."""

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


def _seconds(value: object) -> object:
    """Read a number given as text, which pydantic would not take as seconds."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""Seconds (``5``, ``0.5``) or ISO 8601 (``PT6H``)."""


def _items(value: object) -> object:
    """Read a list, separated by commas or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"begins like a JSON list but is none: {error}") from None
    return [item.strip() for item in value.split(",") if item.strip()]


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origin(text: str) -> str:
    """Check an origin and normalise it to what browsers send, which it is compared with."""
    if text in {"*", "null"}:
        return text
    example = "an origin looks like https://a.example or http://a.example:8080"
    if "://" not in text:
        raise ValueError(f"{text!r} has no scheme; {example}")
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0  # raises ValueError if the port is no number
    except ValueError as error:
        raise ValueError(f"{text!r} is no origin ({error}); {example}") from None
    if not named or "@" in parts.netloc or not text.isascii() or any(sign in text for sign in "* \\"):
        raise ValueError(f"{text!r} is no origin; {example}, with the host as browsers send it")
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} goes on after host and port; write {parts.scheme}://{parts.netloc}")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, '/'))}"


Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, BeforeValidator(_items)]
"""Origins, separated by commas or as a JSON list."""


class Settings(BaseSettings):
    """Settings of every process."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",  # editors on Windows write a byte order mark
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    data_dir: Path = Path("data")
    """Directory of the database, the models and the embedded Redis."""

    database_url: SecretStr | None = None
    """SQLAlchemy URL (``sqlite:///...`` or ``postgresql://...``); default: ``DATA_DIR/movierec.db``."""

    model_dir: Path | None = None
    """Directory of the model versions; default: ``DATA_DIR/model``."""

    results_dir: Path = Path("results")
    """Directory of the results of exploration, evaluation and benchmarks."""

    queue_url: SecretStr | None = None
    """URL of the queue's Redis (``redis://[:password@]host:port/db``); default: ``127.0.0.1:6379``."""

    cache_url: SecretStr | None = None
    """URL of the cache's Redis; default: the same as the queue."""

    log_format: Literal["console", "json"] = "console"
    """Format of log lines: for people, or for machines."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level to log."""

    @field_validator("*", mode="before")
    @classmethod
    def _readable(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:  # bytes that the locale cannot decode
                raise ValueError("has characters that are not in the encoding of the locale") from None
        return value

    @field_validator("data_dir", "model_dir", "results_dir")
    @classmethod
    def _directory(cls, value: Path | None) -> Path | None:
        if value is not None and value.exists() and not value.is_dir():
            raise ValueError(f"{value} is there, but is no directory")
        return value

    @field_validator("queue_url", "cache_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_redis_url(value.get_secret_value()):
            raise ValueError("a Redis URL looks like redis://[:password@]host:port/db")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def database(self) -> str:
        """URL of the database, with its password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        from sqlalchemy import URL  # slow to import, and not every command needs it

        # This quotes characters of the path that have a meaning in URLs.
        url = URL.create("sqlite", database=str(self.data_dir / "movierec.db"))
        return url.render_as_string(hide_password=False)

    @property
    def models(self) -> Path:
        """Directory of the model versions."""
        return self.model_dir or self.data_dir / "model"

    @property
    def queue(self) -> str:
        """URL of the queue's Redis, with its password."""
        return self.queue_url.get_secret_value() if self.queue_url else DEFAULT_REDIS_URL

    @property
    def cache(self) -> str:
        """URL of the cache's Redis, with its password."""
        return self.cache_url.get_secret_value() if self.cache_url else self.queue


class GatewaySettings(Settings):
    """Settings of a gateway."""

    host: str = "127.0.0.1"
    """Address to listen on; ``0.0.0.0`` for all."""

    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""

    root_path: str = ""
    """Path below which a proxy publishes the service, such as ``/movies``; links then begin with it."""

    forwarded_prefix: bool = False
    """Whether to take that path from ``X-Forwarded-Prefix``. Only behind a proxy that always sets it,
    since clients can send it, too."""

    admin_token: SecretStr | None = Field(default=None, min_length=16)
    """Bearer token for requests that write; without a token all of them are refused."""

    cors_origins: Origins = ["*"]
    """Origins that browsers may send requests from, separated by commas; ``*`` for all."""

    wait_budget: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0), le=timedelta(minutes=1))
    """How long a request waits for its answer before it gets a 202."""

    queue_cap: int = Field(default=200, ge=1)
    """Number of queued ``serve`` jobs above which new work is refused with a 503."""

    local_cache_mb: int = Field(default=64, ge=0, le=65536)
    """Megabytes of answers that each gateway keeps in memory; 0 keeps none."""

    local_cache_ttl: Duration = Field(default=timedelta(minutes=1), gt=timedelta(0), le=timedelta(hours=1))
    """Longest time that an answer is kept there without news that it has changed."""

    fast_path: bool = True
    """Whether frequent questions are answered before the framework, by our own connections; off is for
    finding faults, and for a uvicorn that ours do not fit yet."""

    max_connections: int | None = Field(default=None, ge=1)
    """Most open connections. Above it, idle connections are closed first, then new ones are refused.
    Default: what the limit of open files allows, at most 10,000."""

    keep_alive: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0), le=timedelta(hours=1))
    """How long a connection without a request stays open."""

    header_timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0), le=timedelta(hours=1))
    """Longest time from the first byte of a request to the end of its headers."""

    body_timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0), le=timedelta(hours=1))
    """Longest time from the end of the headers to the end of the body."""

    send_timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0), le=timedelta(hours=1))
    """Longest time that a client may read nothing of an answer."""

    max_header_kb: int = Field(default=32, ge=1, le=1024)
    """Largest request line and headers, in kilobytes."""

    train_timeout: Duration = Field(default=timedelta(hours=6), ge=timedelta(minutes=1), le=timedelta(days=7))
    """Longest time that a training job may take; at most a week."""

    @field_validator("root_path")
    @classmethod
    def _path_prefix(cls, value: str) -> str:
        if not PATH_PREFIX.fullmatch(value):
            raise ValueError(
                "a path prefix looks like /movies: it begins with a slash and ends with none; "
                "between slashes are letters, digits and ._~-"
            )
        return value


class WorkerSettings(Settings):
    """Settings of a worker."""

    keep_versions: int = Field(default=5, ge=1)
    """Number of model versions kept on disk after a training; the current one is always kept."""

    compute_threads: int = Field(default=1, ge=1)
    """Number of threads of a serving worker."""

    heartbeat_file: Path = Path(tempfile.gettempdir()) / "movierec-worker.alive"
    """File that a worker touches with each heartbeat; health checks look at its age."""


def _is_redis_url(text: str) -> bool:
    from redis.connection import ConnectionPool  # slow to import, and not every command needs it

    if not text.startswith(("redis://", "rediss://", "unix://")):
        return False
    try:
        connection = ConnectionPool.from_url(text).make_connection()  # no connection is opened
    except (ValueError, TypeError):  # an invalid port or option
        return False
    return bool(getattr(connection, "host", None) or getattr(connection, "path", None))


S = TypeVar("S", bound=Settings)


def load(settings_class: type[S], **overrides: object) -> S:
    """Read settings from the environment.

    Parameters
    ----------
    settings_class : type of Settings
        Class of the process.
    **overrides
        Fields given on the command line; None if an option was not given.

    Raises
    ------
    ConfigurationError
        Names every variable that is wrong, and never contains a secret.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return settings_class(**given)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        raise ConfigurationError(_undecodable(Path(str(settings_class.model_config["env_file"])))) from None
    except ValidationError as error:
        lines = [
            f"{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        if len(lines) == 1:
            raise ConfigurationError(f"A setting is wrong: {lines[0]}") from None
        raise ConfigurationError("\n  ".join(["Settings are wrong:", *lines])) from None


def _undecodable(path: Path) -> str:
    content = path.read_bytes()
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"0x{content[error.start]:02x}"
        return f"{path.absolute()}, line {line}: the byte {byte} is not UTF-8; save the file as UTF-8."
    return f"{path.absolute()} changed while it was read; try again."
