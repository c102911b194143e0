"""Opens the queues, queues jobs, and refuses jobs that are not ours."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import redis
from redis.client import Pipeline
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from shared.contract.job_arguments import complaint
from shared.contract.jobs import ALLOWED_JOBS, TRAIN_JOB, QueueName
from shared.errors import MovierecError
from shared.queue.damage import is_damage
from shared.queue.job_errors import JobError

FAILURE_TTL_SECONDS = 7 * 24 * 3600
"""How long a failed job can be looked at."""

SERVE_RESULT_TTL_SECONDS = 60
"""How long a client that was told 202 can find its finished job."""

TRAIN_RESULT_TTL_SECONDS = 7 * 24 * 3600

TRAIN_RETRIES = 2
"""How often a training is run again whose worker died."""

SERVE_TIMEOUT_SECONDS = 10
"""Time limit of a serving job; it takes milliseconds, so this only ends one that hangs."""

Handler = Callable[..., dict[str, Any]]
"""Runs a job with its named arguments, and returns what the job's result is to be."""

_Seconds = TypeVar("_Seconds", int | None, float | None)


class ForbiddenJobError(MovierecError):
    """A job that was not made by us: it names another function or other arguments, or wants callbacks."""


class MovierecJob(Job):
    """An RQ job that runs what its worker has a handler for and nothing else.

    RQ imports whatever dotted name it finds in Redis, callbacks included, so anyone who can write there
    could run anything. Here no name is imported: it must be in :data:`shared.contract.jobs.ALLOWED_JOBS`, the
    worker must have a handler of that name, and the arguments must be such as we send
    (:mod:`shared.contract.job_arguments`). A job with callbacks, webhooks or repeats fails without running.

    Attributes
    ----------
    handlers : mapping of str to Handler
        What runs a job of each name; set by the worker that takes this job.
    error : JobError or None
        What it raised in this process.
    """

    handlers: Mapping[str, Handler] = MappingProxyType({})
    error: JobError | None = None
    _refused: Sequence[str] = ()

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
        """Refuse to import anything.

        Raises
        ------
        ForbiddenJobError
            Always.
        """
        raise ForbiddenJobError(f"Job {self.id} is run by a handler, not by the name {self.func_name!r}.")

    def _execute(self) -> Any:
        """Run the handler of this job, if the job is such as we send."""
        name = self.func_name
        if self.instance is not None or name not in ALLOWED_JOBS:
            raise ForbiddenJobError(f"Job {self.id} names {name!r}, which no queue may run.")
        if self._refused:
            raise ForbiddenJobError(
                f"Job {self.id} wants {', '.join(self._refused)}, which no job of ours has."
            )
        if wrong := complaint(name, self.args, self.kwargs):
            raise ForbiddenJobError(f"Job {self.id} has arguments that no job of ours has: {wrong}.")
        if name not in self.handlers:
            raise ForbiddenJobError(f"Job {self.id} names {name!r}, which this queue does not run.")
        return self.handlers[name](**self.kwargs)


def _within(seconds: _Seconds) -> _Seconds:
    """Return a time to live of a job, the longest of ours for one that is out of range."""
    return seconds if seconds is None or 0 <= seconds <= FAILURE_TTL_SECONDS else FAILURE_TTL_SECONDS


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
        One of :data:`shared.contract.jobs.ALLOWED_JOBS`.
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
