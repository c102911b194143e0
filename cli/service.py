"""Finds the Redis of the running service, for commands that talk to it from outside."""

import redis
from pydantic import SecretStr

from shared.errors import ServiceError
from shared.queue.connections import connect
from shared.redis_server.server import running_url
from shared.settings import Settings, WorkerSettings, load


def require_redis(settings: Settings) -> None:
    """Check that the Redis servers of queue and cache answer.

    Raises
    ------
    ServiceError
        If one of them does not answer.
    """
    for name, url in (("QUEUE_URL", settings.queue), ("CACHE_URL", settings.cache)):
        with connect(url) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                raise ServiceError(f"The Redis of {name} does not answer: {error}") from None


def service_settings() -> WorkerSettings:
    """Return settings with the Redis of the running service: that of QUEUE_URL, else of ``movierec up``.

    Raises
    ------
    ServiceError
        If no service is found.
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
