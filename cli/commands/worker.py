"""``movierec worker``."""

from typing import Annotated

import typer

from shared.contract.jobs import QueueName
from shared.settings import WorkerSettings, load


def worker(
    queue: Annotated[
        QueueName, typer.Option(help="Answer questions, compute what is likely to be asked, or train.")
    ] = QueueName.SERVE,
) -> None:
    """Run one worker process. Start as many as you like, on any machine that reaches Redis and the data.

    Those who wait come first: a warm worker drops its jobs while questions queue up, and warm and train
    workers leave the processor to others.
    """
    from shared.logs import configure_logging
    from worker.process import run_worker

    settings = load(WorkerSettings)
    configure_logging(settings)
    run_worker(settings, queue)
