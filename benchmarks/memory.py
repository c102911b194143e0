"""Measures the memory of one more serving worker: ``movierec bench memory``.

Starts an embedded Redis, an RQ worker with nothing in it, and serving workers with the current model; lets
each answer, and reads from the kernel the memory that belongs to each process alone (``Private_*`` of
``smaps_rollup``; Linux only).
"""

import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import redis
from rq.utils import as_text

from shared.contract.jobs import BATCH_LIMIT, QueueName
from shared.contract.keys import worker as worker_key
from shared.contract.keys import workers as workers_key
from shared.contract.kinds import RULES, Kind
from shared.database import queries
from shared.database.engine import open_database
from shared.errors import ServiceError
from shared.processes.children import Child, stop_process
from shared.queue.connections import connect
from shared.queue.heartbeat import Heartbeat
from shared.queue.jobs import enqueue_rankings, fetch_job
from shared.redis_server.server import RedisServer
from shared.settings import Settings

_BARE = (
    "import sys, redis; from rq import SimpleWorker, Queue; "
    "c = redis.Redis.from_url(sys.argv[1]); SimpleWorker([Queue('bare', connection=c)], connection=c).work()"
)
_QUESTIONS = 40
_DEADLINE_SECONDS = 60.0


def run(settings: Settings, n_workers: int) -> str:
    """Measure and return the table.

    Raises
    ------
    ServiceError
        If the workers do not answer, for example because there is no model.
    """
    with TemporaryDirectory() as temporary:
        directory = Path(temporary)
        redis_server = RedisServer(directory / "redis")
        redis_server.start()
        bare = subprocess.Popen(
            [sys.executable, "-P", "-c", _BARE, redis_server.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        environment = {"QUEUE_URL": redis_server.url, "DATA_DIR": str(settings.data_dir.resolve())}
        children = [
            Child(
                f"worker-{number}",
                ["worker"],
                environment | {"HEARTBEAT_FILE": str(directory / f"{number}.alive")},
                directory,
            )
            for number in range(n_workers)
        ]
        try:
            for child in children:
                child.start()
            _ask(settings, redis_server.url, n_workers)
            bare_size = private_megabytes(bare.pid)
            sizes = [private_megabytes(child.process.pid) for child in children if child.process]
        finally:
            for child in children:
                child.stop()
            stop_process(bare)
            redis_server.stop()
    lines = [f"Private memory after {_QUESTIONS} jobs for {BATCH_LIMIT} users each (MB)", ""]
    lines.append(f"{'an RQ worker with nothing in it':<36}{bare_size:>8.1f}")
    lines += [f"{f'serving worker {number}':<36}{size:>8.1f}" for number, size in enumerate(sizes, start=1)]
    lines.append(f"{'a serving worker above a bare one':<36}{float(np.mean(sizes)) - bare_size:>8.1f}")
    return "\n".join(lines) + "\n"


def private_megabytes(pid: int) -> float:
    """Return the memory that would be free if a process ended."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def _ask(settings: Settings, url: str, n_workers: int) -> None:
    """Wait for the workers and give all of them work."""
    engine = open_database(settings.database)
    with engine.connect() as connection:
        user_ids = queries.some_users(connection, BATCH_LIMIT * _QUESTIONS)
    engine.dispose()
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with connect(url) as client:
        while _able(client) < n_workers:
            _check(deadline)
        job_ids = []
        for number in range(_QUESTIONS):
            ids = [user_ids[(number * BATCH_LIMIT + i) % len(user_ids)] for i in range(BATCH_LIMIT)]
            job_ids.append(f"{number:032x}")
            enqueue_rankings(
                client, RULES[Kind.SUGGESTED].job, ids, job_id=job_ids[-1], deadline=time.time() + 60
            )
        for job_id in job_ids:
            while (job := fetch_job(job_id, client)) is None or not job.is_finished:
                _check(deadline)


def _able(client: redis.Redis) -> int:
    ids = client.smembers(workers_key(QueueName.SERVE))
    beats = [client.get(worker_key(as_text(worker_id))) for worker_id in ids]
    return sum(Heartbeat.model_validate_json(beat).model_version is not None for beat in beats if beat)


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ServiceError("The workers do not answer; is there a model? movierec train")
    time.sleep(0.05)
