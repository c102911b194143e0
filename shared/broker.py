"""The queue: connections, the only jobs that it accepts, and the heartbeats of its workers."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import hiredis
import redis
import redis.asyncio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio.retry import Retry as AsyncConnectionRetry
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from shared import keys
from shared.contract import (
    ALLOWED_JOBS,
    MODEL_VERSION,
    NEWS_LIMIT,
    TRAIN_JOB,
    Kind,
    News,
    QueueName,
    RankingEvent,
)
from shared.errors import ConfigurationError, MovierecError
from shared.job_arguments import complaint
from shared.redis_state import is_damage

FAILURE_TTL_SECONDS = 7 * 24 * 3600
"""How long a failed job can be looked at."""

SERVE_RESULT_TTL_SECONDS = 60
"""How long a client that was told 202 can find its finished job."""

TRAIN_RESULT_TTL_SECONDS = 7 * 24 * 3600

TRAIN_RETRIES = 2
"""How often a training is run again whose worker died."""

SERVE_TIMEOUT_SECONDS = 10
"""Of a serving job; it takes milliseconds, so this only ends one that hangs."""


_Seconds = TypeVar("_Seconds", int | None, float | None)

_LONGEST_JOB_SECONDS = 7 * 24 * 3600.0


class ForbiddenJobError(MovierecError):
    """A job that was not made by us: it names another function or other arguments, or wants callbacks."""


class MovierecJob(Job):
    """An RQ job that runs registered functions and nothing else.

    RQ imports whatever dotted name it finds in Redis, callbacks included, so anyone who can write there
    could run anything. Here the name must be in :data:`shared.contract.ALLOWED_JOBS`, the arguments such as
    we send (:mod:`shared.job_arguments`), and a job with callbacks, webhooks or repeats fails without
    running.
    """

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read the job from Redis, without whatever it wants to be called besides its function."""
        super().restore(raw_data)
        # Times that no job of ours has would keep it, or its lease, for ever, or overflow.
        self.timeout = _within(self.timeout)
        self.result_ttl = _within(self.result_ttl)
        if self.retries_left:
            self.retries_left = min(self.retries_left, TRAIN_RETRIES)
        extras = {
            "callbacks": self._success_callback_name
            or self._failure_callback_name
            or self._stopped_callback_name,
            "webhooks": self.webhooks,
            "repeats": self.repeats_left,
        }
        self._refused = [name for name, value in extras.items() if value]
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
        self.repeats_left = None

    @property
    def func(self) -> Any:
        """The registered function.

        Raises
        ------
        ForbiddenJobError
            If the job is not one of ours.
        """
        if self.instance is not None or self.func_name not in ALLOWED_JOBS:
            raise ForbiddenJobError(f"Job {self.id} names {self.func_name!r}, which no queue may run.")
        refused = getattr(self, "_refused", [])
        if refused:
            raise ForbiddenJobError(f"Job {self.id} wants {', '.join(refused)}, which no job of ours has.")
        return super().func

    def _execute(self) -> Any:
        """Run the function, if its arguments are such as we send."""
        name = self.func_name
        if self.func is None or name is None or (wrong := complaint(name, self.args, self.kwargs)):
            raise ForbiddenJobError(f"Job {self.id} has arguments that no job of ours has: {wrong}.")
        return super()._execute()


def _within(seconds: _Seconds) -> _Seconds:
    """Return a time to live of a job, the longest of ours for one that is out of range."""
    return seconds if seconds is None or 0 <= seconds <= FAILURE_TTL_SECONDS else FAILURE_TTL_SECONDS


_CONNECTION_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 2.0,
    "health_check_interval": 15,
}
_ASYNC_CONNECTIONS = 32
_NOT_A_URL = "A Redis URL looks like redis://[:password@]host:port/db."


def connect(url: str, timeout: float = 5.0) -> redis.Redis:
    """Return a client for commands that are answered at once; it retries a lost connection once.

    Parameters
    ----------
    url : str
        Where Redis is.
    timeout : float
        Seconds after which an answer is not waited for any more; that is not tried again.

    Raises
    ------
    ConfigurationError
        If the URL is none.
    """
    retry = ConnectionRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    try:
        return redis.Redis.from_url(url, retry=retry, socket_timeout=timeout, **_CONNECTION_OPTIONS)
    except ValueError:
        raise ConfigurationError(_NOT_A_URL) from None


class _Connection(redis.asyncio.Connection):
    """A connection whose commands hiredis packs, as those of redis-py's other client are.

    For the hundreds of keys of a batch Python takes half a millisecond, a tenth of the time of a gateway.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return a command as bytes; redis-py takes apart names of two words, of which there are few."""
        name = args[0]
        if (b" " if isinstance(name, bytes) else " ") in name:
            return list(super().pack_command(*args))
        return [hiredis.pack_command(args)]


def connect_async(url: str, timeout: float) -> redis.asyncio.Redis:
    """Return an asyncio client like that of :func:`connect`."""
    try:
        # Whoever comes when all connections are busy waits for one, instead of being refused.
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            connection_class=_Connection,
            max_connections=_ASYNC_CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            retry=AsyncConnectionRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **_CONNECTION_OPTIONS,
        )
        return redis.asyncio.Redis.from_pool(pool)
    except ValueError:
        raise ConfigurationError(_NOT_A_URL) from None


def open_queue(name: QueueName, connection: redis.Redis) -> Queue:
    """Return a queue that reads and writes JSON and accepts only our jobs."""
    return Queue(name.value, connection=connection, job_class=MovierecJob, serializer=JSONSerializer)


def fetch_job(job_id: str, connection: redis.Redis) -> MovierecJob | None:
    """Return a job, None if there is none that can be read, or it is no longer kept."""
    try:
        job = MovierecJob.fetch(job_id, connection=connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None
    except redis.RedisError as error:
        if is_damage(error):
            return None
        raise
    except Exception:  # fields that RQ cannot read, in as many ways as there are fields
        return None
    return job if isinstance(job, MovierecJob) else None


def ranking_commands(
    connection: redis.Redis,
    function: str,
    ids: Iterable[int],
    *,
    job_id: str,
    deadline: float,
    changes: Sequence[int] | None = None,
    queue: QueueName = QueueName.SERVE,
) -> list[tuple[Any, ...]]:
    """Return the commands that queue a job for rankings, for a caller who sends them with others.

    Parameters
    ----------
    changes : sequence of int, optional
        How often the ratings of each user had changed when it was last looked; none by default.
    connection, function, ids, job_id, deadline, queue
        As of :func:`enqueue_rankings`. Nothing is sent.
    """
    with connection.pipeline(transaction=False) as pipeline:
        open_queue(queue, connection).enqueue(
            function,
            kwargs={"ids": list(ids), "deadline": deadline, "changes": changes and list(changes)},
            job_id=job_id,
            description=function,
            job_timeout=SERVE_TIMEOUT_SECONDS,
            result_ttl=SERVE_RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
            pipeline=pipeline,
        )
        return [words for words, _ in pipeline.command_stack]


def enqueue_rankings(
    connection: redis.Redis,
    function: str,
    ids: Iterable[int],
    *,
    job_id: str,
    deadline: float,
    changes: Sequence[int] | None = None,
    queue: QueueName = QueueName.SERVE,
) -> None:
    """Ask the workers for rankings, in one round trip.

    Parameters
    ----------
    connection : redis.Redis
        Of the queue.
    function : str
        One of :data:`shared.contract.ALLOWED_JOBS`.
    ids : iterable of int
        Users or movies.
    job_id : str
        Chosen by the caller, who can tell others before the job is queued.
    deadline : float
        Redis' time after which nobody waits for the answer.
    changes : sequence of int, optional
        As of :func:`ranking_commands`.
    queue : QueueName
        ``SERVE`` or ``WARM``.
    """
    with connection.pipeline(transaction=True) as pipeline:
        for words in ranking_commands(
            connection, function, ids, job_id=job_id, deadline=deadline, changes=changes, queue=queue
        ):
            pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
        pipeline.execute()


def enqueue_training(
    pipeline: Pipeline,
    connection: redis.Redis,
    algorithm: str,
    parameters: Mapping[str, Any],
    *,
    job_id: str,
    timeout: float,
) -> None:
    """Add a training to a transaction that the caller executes. It is run again if its worker dies."""
    open_queue(QueueName.TRAIN, connection).enqueue(
        TRAIN_JOB,
        kwargs={"algorithm": algorithm, "parameters": dict(parameters)},
        job_id=job_id,
        description=f"train {algorithm}",
        job_timeout=int(timeout),
        result_ttl=TRAIN_RESULT_TTL_SECONDS,
        failure_ttl=FAILURE_TTL_SECONDS,
        retry=Retry(max=TRAIN_RETRIES),
        pipeline=pipeline,
    )


_COUNT_CHANGE = """
for i, key in ipairs(KEYS) do
  local outcome = redis.pcall('HINCRBY', key, ARGV[1], 1)
  if type(outcome) == 'table' and outcome.err then
    redis.call('DEL', key)
    redis.call('HINCRBY', key, ARGV[1], 1)
  end
  redis.call('EXPIRE', key, ARGV[2])
end
"""
"""Where nothing can be counted there is no ranking either that somebody could take for fresh."""


def announce_changes(cache: redis.Redis, queue: redis.Redis, user_ids: Sequence[int]) -> None:
    """Say that ratings of users have changed in the database, after the change was committed.

    Rankings that were computed from the ratings before are stale from now on, also those that a worker is
    computing at this moment; every gateway drops them within a second.

    Parameters
    ----------
    cache, queue : redis.Redis
        Of the rankings and of the news.
    user_ids : sequence of int
        Whose ratings.
    """
    count_change = cache.register_script(_COUNT_CHANGE)
    lifetime = int(keys.ANSWER_TTL.total_seconds())
    for start in range(0, len(user_ids), NEWS_LIMIT):
        ids = list(user_ids[start : start + NEWS_LIMIT])
        owners = [keys.ranking(Kind.SUGGESTED, user_id)[0] for user_id in ids]
        count_change(owners, [keys.CHANGES_FIELD, lifetime])
        queue.publish(keys.ANSWERS_CHANNEL, News(RankingEvent.CHANGED, Kind.SUGGESTED, ids).to_text())


class Heartbeat(BaseModel):
    """What a worker says of itself twice a second.

    Attributes
    ----------
    worker_id : str
        Random, new at each start.
    queue : QueueName
        That it listens to.
    host : str
        Where it runs.
    pid : int
        Its process there.
    model_version : str or None
        Model that it holds; None for a worker that holds none.
    job_seconds : float
        Time that a job takes it, averaged over the latest; 0 before the first.

    Raises
    ------
    ValidationError
        If it is none of ours: what is in Redis may be anybody's.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    worker_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    queue: QueueName
    host: str = Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")
    pid: int = Field(ge=1, lt=2**31)
    model_version: str | None = Field(default=None, pattern=rf"^{MODEL_VERSION.pattern}$")
    job_seconds: float = Field(default=0.0, ge=0, le=_LONGEST_JOB_SECONDS)

    def send(self, connection: redis.Redis, *, announce: bool = False) -> tuple[int, int]:
        """Tell Redis, in one round trip.

        Parameters
        ----------
        connection : redis.Redis
            Of the queue.
        announce : bool
            Whether the gateways should look at once: the worker is new, or has another model.

        Returns
        -------
        tuple of int
            Redis' time, for :meth:`shared.clock.RedisClock.set`.
        """
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.set(keys.worker(self.worker_id), self.model_dump_json(), px=keys.HEARTBEAT_TTL)
            pipeline.sadd(keys.workers(self.queue), self.worker_id)
            if announce:
                pipeline.publish(keys.FLEET_CHANNEL, self.worker_id)
            pipeline.time()
            reading: tuple[int, int] = pipeline.execute()[-1]
        return reading

    def withdraw(self, connection: redis.Redis) -> None:
        """Say goodbye, so that nobody counts on this worker until its heartbeat expires."""
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.delete(keys.worker(self.worker_id))
            pipeline.srem(keys.workers(self.queue), self.worker_id)
            pipeline.publish(keys.FLEET_CHANNEL, self.worker_id)
            pipeline.execute()


async def read_heartbeats(
    connection: redis.asyncio.Redis, members: Mapping[QueueName, Iterable[bytes]]
) -> dict[QueueName, list[Heartbeat]]:
    """Return the workers that are alive, and sweep out the ids of the dead and what is no id.

    Parameters
    ----------
    connection : redis.asyncio.Redis
        Of the queue.
    members : mapping of QueueName to iterable of bytes
        What the sets of the queues' workers hold, see :func:`shared.keys.workers`.
    """
    listed = [(queue, member) for queue, found in members.items() for member in sorted(found)]
    alive: dict[QueueName, list[Heartbeat]] = {queue: [] for queue in members}
    if not listed:
        return alive
    values = await connection.mget([keys.worker(member.decode(errors="replace")) for _, member in listed])
    dead: dict[QueueName, list[bytes]] = {}
    for (queue, member), value in zip(listed, values, strict=True):
        heartbeat = _parse(value)
        if heartbeat is not None and (heartbeat.queue, heartbeat.worker_id.encode()) == (queue, member):
            alive[queue].append(heartbeat)
        else:
            dead.setdefault(queue, []).append(member)
    with contextlib.suppress(redis.ResponseError):  # of a Redis that refuses writes
        for queue, found in dead.items():
            await connection.srem(keys.workers(queue), *found)
    return alive


def _parse(value: bytes | str | None) -> Heartbeat | None:
    try:
        return None if value is None else Heartbeat.model_validate_json(value)
    except ValidationError:
        return None
