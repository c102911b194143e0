"""RQ's own no-op jobs, for comparison."""

import time

import redis
from rq import Queue

from benchmarks.serving.baselines import NO_OP, QUEUE, Baseline, Side
from benchmarks.serving.client import wait_for
from benchmarks.serving.stack import Stack
from shared.errors import ServiceError

_DRAIN_SECONDS = 300.0
_RESULT_SECONDS = 5
_FINISHED = f"rq:finished:{QUEUE}"
_BLOCKING_SECONDS = 60
"""Time-out of a client that waits for results; above RQ's own, or the wait would end in a retry."""


class NoOpWorkers:
    """RQ workers with default settings, and a client for them.

    Parameters
    ----------
    stack : Stack
        The stack whose Redis they use.
    n_workers : int
        Number of workers.
    """

    def __init__(self, stack: Stack, n_workers: int) -> None:
        url = stack.redis_url(2)
        self._client = redis.Redis.from_url(url, socket_timeout=_BLOCKING_SECONDS)
        self._queue = Queue(QUEUE, connection=self._client)
        processes = [stack.start_baseline(Baseline(Side.RQ, redis_url=url)) for _ in range(n_workers)]
        self.pids = {f"RQ worker {number}": pid for number, pid in enumerate(processes, start=1)}
        wait_for(lambda: self._client.scard("rq:workers") == n_workers, "RQ's workers are there", 30)
        self.drain(5 * n_workers)  # the first jobs of a process are slower

    def drain(self, n_jobs: int) -> float:
        """Return the jobs done per second when this number waits from the start."""
        self._client.delete(_FINISHED)
        jobs = [Queue.prepare_data(NO_OP) for _ in range(n_jobs)]
        with self._client.pipeline() as pipeline:
            self._queue.enqueue_many(jobs, pipeline=pipeline)
            # One transaction, so that all are there at once; RQ has a head start while we read the replies.
            pipeline.execute()
        started = time.perf_counter()
        wait_for(lambda: self._client.zcard(_FINISHED) >= n_jobs, "RQ's jobs are done", _DRAIN_SECONDS)
        return n_jobs / (time.perf_counter() - started)

    def lone_job(self) -> float:
        """Return the seconds from putting one job into the queue to having its result.

        Raises
        ------
        ServiceError
            If there is no result.
        """
        started = time.perf_counter()
        result = self._queue.enqueue(NO_OP).latest_result(timeout=_RESULT_SECONDS)
        seconds = time.perf_counter() - started
        if result is None:
            raise ServiceError(f"RQ's no-op job had no result within {_RESULT_SECONDS} s.")
        return seconds

    def close(self) -> None:
        """Close the client; the stack stops the workers."""
        self._client.close()
