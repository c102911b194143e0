"""Trains a model; each run is in a forked child of the worker."""

from typing import Any

from rq import get_current_job
from rq.timeouts import JobTimeoutException

from shared.algorithms import parse_config
from shared.artifacts.store import ArtifactStore
from shared.database.engine import open_database
from shared.errors import MovierecError
from shared.settings import WorkerSettings, load
from worker.jobs.progress import JobProgress


def train(algorithm: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Train on what the database holds and publish the model.

    Returns
    -------
    dict
        ``model_version``, ``algorithm`` and ``metrics`` of the new version.

    Raises
    ------
    MovierecError
        If it cannot be done; such a job is not tried again, since it would fail the same way.
    """
    from worker.training.pipeline import train as train_and_publish  # heavy: only the forked child pays

    job, settings = get_current_job(), load(WorkerSettings)
    try:
        config = parse_config(algorithm, parameters)
        manifest = train_and_publish(
            open_database(settings.database),
            ArtifactStore(settings.models),
            config,
            keep=settings.keep_versions,
            # What was accepted is done: somebody trains by hand, or what a killed trainer left behind does.
            wait=True,
            progress=JobProgress(job),
        )
    except (MovierecError, JobTimeoutException):
        if job is not None:
            job.retries_left = 0
        raise
    return {
        "model_version": manifest.version,
        "algorithm": manifest.algorithm,
        "metrics": manifest.metrics,
    }
