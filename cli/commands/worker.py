"""``movierec worker``."""

from typing import Annotated

import typer

from shared.contract.jobs import QueueName
from shared.settings import WorkerSettings, load


def worker(
    queue: Annotated[
        QueueName,
        typer.Option(help="serve answers requests, warm computes answers in advance, train trains models."),
    ] = QueueName.SERVE,
) -> None:
    """Run one worker process. Start as many as you like, on any machine that reaches Redis and the data.

    Requests come first: a warm worker drops its jobs while requests are queued, and warm and train workers
    run at low priority.
    """
    from shared.logs import configure_logging
    from worker.process import run_worker

    settings = load(WorkerSettings)
    configure_logging(settings)
    run_worker(settings, queue)
