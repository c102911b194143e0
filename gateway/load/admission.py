"""Refuses questions, and trainings, that would not be done in time."""

from gateway.http.problems import NoWorkers, QueueFull, QueueUnreachable
from gateway.load.throughput import TARGET_SECONDS, Throughput, retry_after
from gateway.load.workers import Workers

_FOUND_WEIGHT = 0.01
"""Of one question in the share that the cache had the answer to."""

_UNKNOWN_JOB_SECONDS = 0.1
"""Of a job, before any worker has done one: rather too long than too short."""


class Admission:
    """Decides whether a question may be computed, and knows how much there is to do.

    Parameters
    ----------
    workers : Workers
        Which workers are alive.
    queue_cap : int
        Waiting jobs above which new work is refused.

    Attributes
    ----------
    being_read : int
        Questions that the cache is being asked for.
    found_share : float
        Part of the latest questions that the cache had the answer to.
    """

    def __init__(self, workers: Workers, queue_cap: int) -> None:
        self._workers = workers
        self._queue_cap = queue_cap
        self._throughput = Throughput()
        self.being_read = 0
        self.found_share = 1.0

    def note_read(self, found: bool) -> None:
        """Note whether the cache had the answer to a question."""
        self.found_share += (found - self.found_share) * _FOUND_WEIGHT

    def delivered(self, n: int, under_way: int) -> None:
        """Note that workers answered ``n`` questions, and how many are still under way."""
        self._throughput.delivered(n, under_way)

    def is_full(self, under_way: int) -> bool:
        """Tell whether the workers have all the questions that they can answer in time.

        What the cache is being asked for counts as well: nearly all of it will want to be computed.

        Parameters
        ----------
        under_way : int
            Questions that were admitted and are not answered.
        """
        return under_way + self.being_read >= self._throughput.limit(self._workers.able_workers)

    def admit(self, under_way: int) -> None:
        """Let one more question be computed.

        Parameters
        ----------
        under_way : int
            Questions that were admitted and are not answered.

        Raises
        ------
        QueueUnreachable, NoWorkers, QueueFull
            With the time after which it is worth trying again.
        """
        self._require_workers()
        if self._workers.waiting_jobs > self._queue_cap:
            raise self._queue_full("try again soon")
        self._throughput.started()
        limit = self._throughput.limit(self._workers.able_workers)
        if under_way >= limit:
            raise QueueFull(
                f"{under_way:,} questions wait already; try again soon.",
                {"Retry-After": str(retry_after(under_way, limit / TARGET_SECONDS))},
            )

    def admit_training(self) -> None:
        """Let a training be queued, unless jobs of users wait, from half of the cap on.

        Raises
        ------
        QueueFull
        """
        if self._workers.waiting_jobs > self._queue_cap / 2:
            raise self._queue_full("they come first")

    def _require_workers(self) -> None:
        workers = self._workers
        if not workers.reachable or workers.refusal:
            raise QueueUnreachable(f"{workers.refusal or 'Redis does not answer'}; try again soon.")
        if workers.cache_refusal:
            raise QueueUnreachable(f"The cache: {workers.cache_refusal}; try again soon.")
        if not workers.able_workers:
            what = "Workers wait for a first model." if workers.serving else "No worker is running."
            raise NoWorkers(f"{what} Answers that were computed before are still served.")

    def _queue_full(self, advice: str) -> QueueFull:
        workers = self._workers
        job_seconds = max((worker.job_seconds for worker in workers.serving), default=0.0)
        pace = max(1, workers.able_workers) / (job_seconds or _UNKNOWN_JOB_SECONDS)
        return QueueFull(
            f"{workers.waiting_jobs} jobs with questions of users wait already; {advice}.",
            {"Retry-After": str(retry_after(workers.waiting_jobs, pace))},
        )
