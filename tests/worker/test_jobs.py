"""Jobs as RQ runs them: from the queue, by a real worker class, on a real Redis."""

import time
from pathlib import Path

import pytest
import redis
from rq.job import JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from shared.contract import keys
from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent
from shared.contract.question import Question
from shared.processes.children import free_port
from shared.queue.connections import connect
from shared.queue.jobs import enqueue_rankings, fetch_job
from shared.rankings import claims
from shared.rankings.changes import announce_changes
from shared.rankings.ranking import Ranking
from tests.conftest import Trained, rank
from tests.worker.conftest import run_jobs
from worker.jobs.context import ServingContext
from worker.serving import Serving


class Work:
    """Runs what is queued, in this process."""

    def __init__(self, context: ServingContext) -> None:
        self.context = context
        self.client = context.queue

    def __call__(self) -> None:
        run_jobs(self.context)

    def ask(self, kind: Kind, ids: list[int], deadline: float | None = None) -> str:
        job_id = f"{len(ids):032x}"
        enqueue_rankings(
            self.client, RULES[kind].job, ids, job_id=job_id, deadline=deadline or time.time() + 60
        )
        return job_id


@pytest.fixture
def work(context: ServingContext) -> Work:
    return Work(context)


def stored(client: redis.Redis, user_id: int) -> bytes:
    packed = client.hget(*keys.ranking(Kind.SUGGESTED, user_id))
    assert isinstance(packed, bytes)
    return packed


@pytest.mark.parametrize("kind", list(Kind))
def test_a_job_writes_rankings_tells_of_them_and_settles_its_claims(
    work: Work, serving: Serving, kind: Kind
) -> None:
    client = work.client
    for subject in (1, 2):
        client.set(keys.claim(kind, subject), "x")
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.ANSWERS_CHANNEL)
        pubsub.get_message(timeout=5)
        job_id = work.ask(kind, [1, 2])
        work()
        message = pubsub.get_message(timeout=5)
    assert message is not None
    assert News.from_text(message["data"].decode()) == News(RankingEvent.WRITTEN, kind, [1, 2])
    expected = rank(serving, kind, [1, 2])
    for subject, ranking in zip((1, 2), expected, strict=True):
        key, field = keys.ranking(kind, subject)
        stored = client.hget(key, field)
        assert isinstance(stored, bytes)
        assert stored == ranking.to_bytes()
        assert 0 < client.ttl(key) <= keys.ANSWER_TTL.total_seconds()
        assert client.get(keys.claim(kind, subject)) == claims.SETTLED
        assert 0 < client.pttl(keys.claim(kind, subject)) <= 1000 * claims.SETTLED_TTL.total_seconds()
    job = fetch_job(job_id, client)
    assert job is not None
    assert job.return_value() == {"computed": 2, "expired": 0}
    assert client.hgetall(keys.COUNTERS) == {b"computed": b"2"}


def test_running_a_job_twice_changes_nothing(work: Work) -> None:
    work.ask(Kind.SUGGESTED, [1])
    work()
    first = stored(work.client, 1)
    assert Ranking.from_bytes(first), "something was written"
    work.client.hset(*keys.ranking(Kind.SUGGESTED, 1), b"what the second one has to write over")
    work.ask(Kind.SUGGESTED, [1])
    work()
    assert stored(work.client, 1) == first
    assert work.client.hgetall(keys.COUNTERS) == {b"computed": b"2"}


def test_work_that_nobody_waits_for_is_skipped(work: Work) -> None:
    work.client.set(keys.claim(Kind.SUGGESTED, 1), "x")
    job_id = work.ask(Kind.SUGGESTED, [1], deadline=time.time() - 1)
    work()
    job = fetch_job(job_id, work.client)
    assert job is not None
    assert job.return_value() == {"computed": 0, "expired": 1}
    assert not work.client.exists(keys.ranking(Kind.SUGGESTED, 1)[0], keys.claim(Kind.SUGGESTED, 1))
    assert work.client.hgetall(keys.COUNTERS) == {b"expired": b"1"}


def test_a_failure_is_told_too(
    work: Work, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from shared.artifacts.store import ArtifactStore

    empty = Serving(ArtifactStore(tmp_path_factory.mktemp("none")), trained.engine)
    work.context = ServingContext(empty, work.client, work.client)
    with work.client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.ANSWERS_CHANNEL)
        pubsub.get_message(timeout=5)
        job_id = work.ask(Kind.SUGGESTED, [1])
        work()
        message = pubsub.get_message(timeout=5)
    assert message is not None
    assert News.from_text(message["data"].decode()) == News(RankingEvent.FAILED, Kind.SUGGESTED, [1])
    job = fetch_job(job_id, work.client)
    assert job is not None
    assert job.get_status() == JobStatus.FAILED
    assert work.client.hgetall(keys.COUNTERS) == {b"failed": b"1"}


def test_answers_that_a_cache_of_its_own_does_not_take_are_told_as_failed(
    work: Work, serving: Serving
) -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0") as nobody:
        work.context = ServingContext(serving, nobody, work.client)
        work.client.set(keys.claim(Kind.SUGGESTED, 1), "x")
        with work.client.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.subscribe(keys.ANSWERS_CHANNEL)
            pubsub.get_message(timeout=5)
            work.ask(Kind.SUGGESTED, [1])
            work()
            message = pubsub.get_message(timeout=5)
    assert message is not None
    assert News.from_text(message["data"].decode()) == News(RankingEvent.FAILED, Kind.SUGGESTED, [1])
    assert not work.client.exists(keys.claim(Kind.SUGGESTED, 1))
    assert work.client.hgetall(keys.COUNTERS) == {b"failed": b"1"}


def test_a_change_of_ratings_while_a_job_runs_shows_in_what_it_wrote(
    work: Work, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_rank = serving.rank

    def change_meanwhile(questions: list[Question]) -> list[Ranking | None]:
        rankings = really_rank(questions)
        announce_changes(work.client, work.client, [1])
        return rankings

    work.ask(Kind.SUGGESTED, [1])
    work()
    work.client.hset(*keys.ranking(Kind.SUGGESTED, 1), b"what the second one has to write over")
    monkeypatch.setattr(serving, "rank", change_meanwhile)
    work.ask(Kind.SUGGESTED, [1])
    work()
    ranking = Ranking.from_bytes(stored(work.client, 1))
    assert ranking is not None
    key, _ = keys.ranking(Kind.SUGGESTED, 1)
    assert (ranking.changes, work.client.hget(key, keys.CHANGES_FIELD)) == (0, b"1")


@pytest.mark.parametrize(
    "function",
    ["os.system", "os.getpid", "worker.jobs.train.train", "worker.jobs.serve.answer", "builtins.print"],
)
def test_a_forged_job_is_not_run(work: Work, function: str, tmp_path: Path) -> None:
    from rq import Queue

    mark = tmp_path / "was-here"
    forger = Queue("serve", connection=work.client, serializer=JSONSerializer)
    forged = forger.enqueue(function, f"touch {mark}")
    work()
    assert not mark.exists()
    job = fetch_job(forged.id, work.client)
    assert job is not None
    assert job.get_status() == JobStatus.FAILED
    result = job.latest_result()
    assert result is not None
    assert "which no queue may run" in str(result.exc_string)
    assert work.client.hgetall(keys.COUNTERS) == {b"refused": b"1"}


@pytest.mark.parametrize("when", ["on_success", "on_failure", "on_stopped"])
def test_a_job_with_callbacks_is_not_run(work: Work, when: str) -> None:
    from rq import Callback, Queue

    forger = Queue("serve", connection=work.client, serializer=JSONSerializer)
    extra = {when: Callback("os.abort")}
    job = forger.enqueue(
        RULES[Kind.SUGGESTED].job, kwargs={"ids": [1], "deadline": time.time() + 60}, **extra
    )
    work()
    assert job.get_status() == JobStatus.FAILED
    assert job.id in FailedJobRegistry(queue=forger)
    assert not work.client.exists(keys.ranking(Kind.SUGGESTED, 1)[0])
    assert work.client.hgetall(keys.COUNTERS) == {b"refused": b"1"}


def test_a_pickled_job_is_not_unpickled(work: Work) -> None:
    from rq import Queue
    from rq.serializers import DefaultSerializer

    forger = Queue("serve", connection=work.client, serializer=DefaultSerializer)
    job = forger.enqueue("os.getpid")
    work()
    assert job.get_status() == JobStatus.FAILED
    assert work.client.hgetall(keys.COUNTERS) == {b"refused": b"1"}
