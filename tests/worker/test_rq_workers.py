"""Our RQ workers: what they cost, what RQ sees of them, how they end, and what they refuse."""

import os
import signal
import threading
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.client import PubSubWorkerThread
from redis.connection import Connection
from rq import Callback, Queue, Retry, suspension
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from shared.contract import keys
from shared.contract.jobs import QueueName
from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.queue.connections import connect
from shared.queue.jobs import MovierecJob, enqueue_rankings, enqueue_training, fetch_job, open_queue
from shared.rankings.ranking import Ranking
from shared.redis_server.server import RedisServer
from tests.conftest import PROJECT, Trained
from tests.processes import Command, alive, wait_for
from tests.worker.conftest import Start, run_jobs, serve_worker
from worker.jobs import serve
from worker.jobs.context import ServingContext
from worker.jobs.handlers import serving_handlers
from worker.rankings import rank_questions
from worker.rq.pace import Pace
from worker.rq.serve import ServeWorker
from worker.rq.stop import Stop

SUGGEST = RULES[Kind.SUGGESTED].job


def ask(client: redis.Redis, user_id: int = 1, queue: QueueName = QueueName.SERVE) -> str:
    """Queue a question with much time and return the job's id."""
    job_id = uuid.uuid4().hex
    enqueue_rankings(client, SUGGEST, [user_id], job_id=job_id, deadline=time.time() + 600, queue=queue)
    return job_id


def run(worker: ServeWorker) -> None:
    worker.work(burst=True, logging_level="CRITICAL")


def status(client: redis.Redis, job_id: str) -> JobStatus:
    job = fetch_job(job_id, client)
    assert job is not None
    return job.get_status()


def counter(client: redis.Redis, name: keys.Counter) -> int:
    value = client.hget(keys.COUNTERS, name)
    return int(value or 0)


class CountingConnection(Connection):
    """Counts how often something was sent, each of which is a round trip."""

    sent = 0

    def send_packed_command(self, command: object, check_health: bool = True) -> None:
        CountingConnection.sent += 1
        super().send_packed_command(command, check_health)


def test_a_job_costs_four_round_trips_and_a_heartbeat_now_and_then(
    redis_url: str, redis_client: redis.Redis
) -> None:
    def skip(ids: list[int], deadline: float, changes: None) -> dict[str, int]:
        return {"computed": 0, "expired": 0}

    pool = redis.ConnectionPool.from_url(redis_url, connection_class=CountingConnection)
    counting = redis.Redis(connection_pool=pool)

    def cost(n: int) -> int:
        for _ in range(n):
            ask(redis_client)
        worker = serve_worker(counting, {SUGGEST: skip})
        before = CountingConnection.sent
        run(worker)
        return CountingConnection.sent - before

    cost(0)  # the first one also asks for Redis' version
    idle = cost(0)
    n = 100
    assert 0 < (cost(n) - idle) / n <= 4.1
    assert len(open_queue(QueueName.SERVE, redis_client)) == 0
    pool.disconnect()


def test_rq_sees_of_a_job_what_it_always_sees(
    redis_client: redis.Redis, context: ServingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    queue = open_queue(QueueName.SERVE, redis_client)

    def look(*arguments: Any) -> tuple[dict[Question, Ranking], list[Question]]:
        (shown,) = ServeWorker.all(redis_client, job_class=MovierecJob, serializer=JSONSerializer)
        seen.extend([shown.get_state(), shown.get_current_job_id(), queue.started_job_registry.get_job_ids()])
        seen.append(queue.intermediate_queue.get_job_ids())
        seen.append(status(redis_client, job_id))
        return rank_questions(*arguments)

    monkeypatch.setattr(serve, "rank_questions", look)
    job_id = ask(redis_client)
    worker = serve_worker(redis_client, serving_handlers(context))
    run(worker)
    assert seen == [WorkerStatus.BUSY, job_id, [job_id], [], JobStatus.STARTED]

    job = fetch_job(job_id, redis_client)
    assert job is not None
    assert job.get_status() == JobStatus.FINISHED
    assert job.worker_name == worker.name
    result = job.latest_result()
    assert result is not None
    assert (result.return_value, result.worker_name) == ({"computed": 1, "expired": 0}, worker.name)
    assert queue.finished_job_registry.get_job_ids() == [job_id]
    assert queue.started_job_registry.get_job_ids() == []
    assert not redis_client.keys("rq:execution*")
    assert not redis_client.keys("rq:worker:*:executions")
    worker.refresh()
    assert (worker.successful_job_count, worker.failed_job_count) == (1, 0)
    assert worker.get_state() == WorkerStatus.IDLE
    assert worker.pace.seconds > 0


def test_a_skipped_job_says_nothing_of_the_pace(redis_client: redis.Redis, context: ServingContext) -> None:
    enqueue_rankings(redis_client, SUGGEST, [1], job_id="late", deadline=time.time() - 1)
    worker = serve_worker(redis_client, serving_handlers(context))
    run(worker)
    assert status(redis_client, "late") == JobStatus.FINISHED
    assert worker.pace.seconds == 0


def test_a_worker_that_redis_has_forgotten_is_known_again_within_seconds(
    redis_client: redis.Redis, start: Start
) -> None:
    start("serve")

    def known() -> list[tuple[str, list[str]]]:
        workers = ServeWorker.all(redis_client, job_class=MovierecJob, serializer=JSONSerializer)
        return [(worker.get_state(), worker.queue_names()) for worker in workers]

    wait_for(known, "the worker is there")
    redis_client.flushall()
    wait_for(lambda: known() == [("idle", ["serve"])], "it is there again", 5)


def test_suspended_workers_take_nothing_until_they_may(redis_client: redis.Redis, start: Start) -> None:
    start("serve")
    first = ask(redis_client)
    wait_for(lambda: status(redis_client, first) == JobStatus.FINISHED, "the worker works")
    suspension.suspend(redis_client)
    worker_key = wait_for(lambda: redis_client.keys("rq:worker:*"), "the worker is there")[0]
    wait_for(lambda: redis_client.hget(worker_key, "state") == b"suspended", "it has heard", 5)
    second = ask(redis_client)
    beat = redis_client.hget(worker_key, "last_heartbeat")
    wait_for(lambda: redis_client.hget(worker_key, "last_heartbeat") != beat, "it looked again", 5)
    assert status(redis_client, second) == JobStatus.QUEUED
    suspension.resume(redis_client)
    wait_for(lambda: status(redis_client, second) == JobStatus.FINISHED, "it goes on", 5)


def test_a_suspended_worker_can_be_stopped(redis_client: redis.Redis, start: Start) -> None:
    suspension.suspend(redis_client)
    worker = start("serve")
    wait_for(
        lambda: any(
            redis_client.hget(key, "state") == b"suspended" for key in redis_client.keys("rq:worker:*")
        ),
        "it is suspended",
    )
    assert worker.stop() == 0


# The end --------------------------------------------------------------------------------------------------


def storm(workers: list[Command]) -> None:
    """Send both signals again and again until all have ended."""
    while any(worker.process.poll() is None for worker in workers):
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
                worker.process.send_signal(signal.SIGINT)
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("queue", "outcome"), [(QueueName.SERVE, JobStatus.FINISHED), (QueueName.TRAIN, JobStatus.FAILED)]
)
def test_a_storm_of_signals_while_jobs_flow_loses_none(
    redis_client: redis.Redis, start: Start, queue: QueueName, outcome: JobStatus
) -> None:
    """Jobs of the other kind on the train queue, where they fail at once: a training would take seconds."""
    per_round = 200 if queue is QueueName.SERVE else 60
    waiting = open_queue(queue, redis_client)
    job_ids: list[str] = []
    for _ in range(2):
        workers = [start(queue) for _ in range(2)]
        wait_for(lambda: redis_client.scard(f"rq:workers:{queue}") == 2, "both listen")
        job_ids += [ask(redis_client, user_id, queue) for user_id in range(1, per_round + 1)]
        before = len(waiting)
        wait_for(lambda before=before: len(waiting) < before - 10, "jobs flow")  # type: ignore[misc]
        storm(workers)
        assert [worker.process.returncode for worker in workers] == [0, 0]
        assert waiting.intermediate_queue.get_job_ids() == []
        assert waiting.started_job_registry.get_job_ids() == []
    assert len(waiting) > 0, "the storm was to come in the middle"
    start(queue)
    wait_for(lambda: len(waiting) == 0, "the rest is done")
    for job_id in job_ids:
        wait_for(lambda job_id=job_id: status(redis_client, job_id) == outcome, "it is done", 10)  # type: ignore[misc]


def test_a_second_signal_ends_a_training_and_puts_it_back(
    redis_client: redis.Redis, start: Start, trained: Trained
) -> None:
    with redis_client.pipeline() as pipeline:
        parameters = {"n_sweeps": 10_000}
        enqueue_training(pipeline, redis_client, "bayes", parameters, job_id="long", timeout=600)
        pipeline.execute()
    trainer = start("train")

    def progress() -> object:
        job = fetch_job("long", redis_client)
        return job is not None and job.get_meta().get("progress")

    wait_for(progress, "the training has begun")
    children = Path(f"/proc/{trainer.process.pid}/task/{trainer.process.pid}/children")
    (training,) = map(int, children.read_text(encoding="utf-8").split())
    trainer.process.send_signal(signal.SIGINT)
    time.sleep(1.2)  # a second signal that comes sooner is the same Ctrl-C, told to a whole group
    assert alive(training)
    assert trainer.stop(signal.SIGINT) == 0
    assert not alive(training)
    assert status(redis_client, "long") == JobStatus.QUEUED
    assert open_queue(QueueName.TRAIN, redis_client).get_job_ids() == ["long"]


def test_a_flag_that_a_signal_sets_in_the_middle_of_a_wait() -> None:
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop.listen()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        began = time.monotonic()
        assert stop.wait(30)
        assert time.monotonic() - began < 5
        assert not Stop().wait(0.01)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_pace_starts_with_the_first_job_and_follows_the_latest() -> None:
    pace = Pace()
    pace.add(4.0)
    assert pace.seconds == 4.0
    for _ in range(100):
        pace.add(1.0)
    assert pace.seconds == pytest.approx(1.0, abs=0.001)


# What goes wrong ------------------------------------------------------------------------------------------


def test_a_job_that_kills_its_worker_fails_soon_and_is_not_tried_again(
    redis_client: redis.Redis, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'worker' in sys.orig_argv:\n"
        "    from worker.serving import Serving\n"
        "    rank = Serving.rank\n"
        "    def deadly(self, questions):\n"
        "        if any(question.subject == 13 for question in questions):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return rank(self, questions)\n"
        "    Serving.rank = deadly\n",
        encoding="utf-8",
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    victim = start("serve", **environment)
    queue = open_queue(QueueName.SERVE, redis_client)
    poison = queue.enqueue(SUGGEST, kwargs={"ids": [13], "deadline": time.time() + 600}, job_timeout=1)
    assert victim.process.wait(60) == -signal.SIGKILL
    assert poison.get_status() == JobStatus.STARTED
    survivor = start("serve", **environment)
    # A lease of 1 s + 5 s, and maintenance every 5 s.
    wait_for(lambda: poison.id in queue.failed_job_registry.get_job_ids(), "it has failed", 20)
    assert poison.get_status() == JobStatus.FAILED
    other = ask(redis_client)
    wait_for(lambda: status(redis_client, other) == JobStatus.FINISHED, "the queue goes on")
    assert survivor.process.poll() is None
    assert queue.started_job_registry.get_job_ids() == []


def push_raw(client: redis.Redis, job_id: str, fields: dict[str, bytes | str]) -> None:
    """Put into Redis what nobody checked."""
    client.hset(f"rq:job:{job_id}", mapping=fields)  # type: ignore[arg-type]
    client.rpush("rq:queue:serve", job_id)


def test_forged_jobs_are_refused_and_counted(redis_client: redis.Redis, start: Start, tmp_path: Path) -> None:
    worker = start("serve")
    mark = tmp_path / "was-here"
    forger = Queue("serve", connection=redis_client, serializer=JSONSerializer)
    forged = [forger.enqueue("os.system", f"touch {mark}", retry=Retry(max=3)).id]
    arguments = {"ids": [1], "deadline": time.time() + 600}
    for when in ("on_success", "on_failure", "on_stopped"):
        callback = Callback("os.system")
        forged.append(forger.enqueue(SUGGEST, kwargs=arguments, **{when: callback}).id)
    data = JSONSerializer.dumps(["os.system", None, [f"touch {mark}"], {}])
    push_raw(redis_client, "bare", {"data": zlib.compress(data)})
    long_name = JSONSerializer.dumps(["x\n" * 10_000, None, [], {}])
    push_raw(redis_client, "long", {"data": long_name, "origin": "elsewhere"})
    forged += ["bare", "long"]
    wait_for(lambda: counter(redis_client, keys.Counter.REFUSED) >= len(forged), "all are refused")
    last = ask(redis_client)
    wait_for(lambda: status(redis_client, last) == JobStatus.FINISHED, "the worker works on")
    assert counter(redis_client, keys.Counter.REFUSED) == len(forged)
    assert not mark.exists()
    assert {status(redis_client, job_id) for job_id in forged} == {JobStatus.FAILED}
    refused = [line for line in worker.output.splitlines() if "job refused" in line]
    assert len(refused) == len(forged)
    for job_id, line in zip(forged, refused, strict=True):
        assert job_id in line
        assert len(line) < 500
    assert "os.system" in refused[0]
    assert "Traceback" not in worker.output
    for key in redis_client.scan_iter("rq:*"):
        if key.startswith((b"rq:job:", b"rq:results:")):
            assert 0 < redis_client.ttl(key) <= 7 * 24 * 3600, key
    assert not list(redis_client.scan_iter("*elsewhere*"))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"data": b"\xff", "status": "no such status"}, id="status"),
        pytest.param({"data": b"\xff", "timeout": "soon"}, id="timeout"),
        pytest.param({"data": b"\xff", "created_at": "yesterday"}, id="date"),
        pytest.param({"origin": "serve"}, id="no data"),
    ],
)
def test_a_job_that_cannot_be_read_does_not_end_the_worker(
    redis_client: redis.Redis, context: ServingContext, fields: dict[str, bytes | str]
) -> None:
    push_raw(redis_client, "odd", fields)
    after = ask(redis_client)
    run_jobs(context)
    assert status(redis_client, after) == JobStatus.FINISHED
    if "data" in fields:
        assert counter(redis_client, keys.Counter.REFUSED) == 1
        assert redis_client.ttl("rq:job:odd") > 0
        assert redis_client.llen("rq:queue:serve:intermediate") == 0


def test_without_redis_a_worker_ends_and_leaves_no_thread_behind(
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    with connect(server.url) as client:

        def end(ids: list[int], deadline: float, changes: None) -> dict[str, int]:
            worker.stop.request()
            server.stop()
            return {}

        worker = serve_worker(client, {SUGGEST: end})
        ask(client)
        with pytest.raises(redis.RedisError):
            run(worker)
    wait_for(
        lambda: not any(isinstance(thread, PubSubWorkerThread) for thread in threading.enumerate()),
        "RQ's thread has ended",
        10,
    )


def test_redis_may_go_and_come_back(trained: Trained, start: Start, tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        worker = start("serve", QUEUE_URL=server.url)
        with connect(server.url) as client:
            first = ask(client)
            wait_for(lambda: status(client, first) == JobStatus.FINISHED, "it works")
        server.stop()
        wait_for(lambda: "does not answer" in worker.output or "failed" in worker.output, "it notices")
        server.start()
        with connect(server.url) as client:
            second = ask(client)
            wait_for(lambda: status(client, second) == JobStatus.FINISHED, "it works again", 20)
        assert worker.process.poll() is None
    finally:
        server.stop()
