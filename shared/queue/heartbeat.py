"""Heartbeats of workers, and the list of workers that are alive."""

import contextlib
from collections.abc import Iterable, Mapping

import redis
import redis.asyncio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import MODEL_VERSION

_LONGEST_JOB_SECONDS = 7 * 24 * 3600.0


class Heartbeat(BaseModel):
    """A worker's state, sent twice a second.

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
            Redis' time, for :meth:`shared.queue.clock.RedisClock.set`.
        """
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.set(keys.worker(self.worker_id), self.model_dump_json(), px=keys.HEARTBEAT_TTL)
            pipeline.sadd(keys.workers(self.queue), self.worker_id)
            if announce:
                pipeline.publish(keys.WORKERS_CHANNEL, self.worker_id)
            pipeline.time()
            reading: tuple[int, int] = pipeline.execute()[-1]
        return reading

    def withdraw(self, connection: redis.Redis) -> None:
        """Say goodbye, so that nobody counts on this worker until its heartbeat expires."""
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.delete(keys.worker(self.worker_id))
            pipeline.srem(keys.workers(self.queue), self.worker_id)
            pipeline.publish(keys.WORKERS_CHANNEL, self.worker_id)
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
        What the sets of the queues' workers hold, see :func:`shared.contract.keys.workers`.
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
