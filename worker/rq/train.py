"""A worker that forks for each job."""

import contextlib
import os
import signal
from typing import Any

from rq import Queue, Worker
from rq.job import Job

from shared.processes.parent import die_with_parent
from worker.rq.base import QuietWorker


class TrainWorker(QuietWorker, Worker):
    """Runs each job in a forked child, which may take hours and may be killed.

    A first signal lets a training end, a second one ends it; RQ then puts it back into the queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop.insisted = self._end_training

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run a job in the child; it ends when this worker does, however that ends."""
        die_with_parent()
        super().main_work_horse(job, queue)

    def _end_training(self) -> None:
        if self.horse_pid:
            # Not RQ's kill_horse, which kills the process group: right after the fork that is still ours.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGKILL)
