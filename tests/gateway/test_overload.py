"""A gateway that falls behind rejects questions early and goes on answering what it has."""

import asyncio
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import redis

from gateway.fast_path.joined_writes import JoinedWrites
from gateway.load import shedding
from gateway.load.shedding import LoadShedder
from gateway.rankings.dispatcher import StillWorkingError
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.database import queries
from tests.conftest import PROJECT, Trained
from tests.gateway.asking import announce, open_harness, ranking, suggested
from tests.processes import Gateway, wait_for


@dataclass
class Demand:
    full: bool = False
    found_share: float = 0.0

    def is_full(self, under_way: int) -> bool:
        return self.full


SOME, OTHER = Question(Kind.SUGGESTED, 1), Question(Kind.SIMILAR, 1)


def shed(shedder: LoadShedder, question: Question, n: int) -> int:
    return sum(shedder.sheds(question) for _ in range(n))


def test_while_the_workers_are_not_full_everybody_comes_in() -> None:
    assert shed(LoadShedder(Demand(), []), SOME, 100) == 0


def test_while_the_workers_are_full_one_in_64_comes_in() -> None:
    shedder = LoadShedder(Demand(full=True), [])
    assert [shedder.sheds(SOME) for _ in range(128)] == [*[True] * 63, False] * 2


def test_what_the_cache_is_likely_to_have_comes_in_though_the_workers_are_full() -> None:
    assert shed(LoadShedder(Demand(full=True, found_share=0.1), []), SOME, 100) == 0
    assert shed(LoadShedder(Demand(full=True, found_share=0.09), []), SOME, 100) > 90


def test_whoever_asks_for_what_is_under_way_comes_in_though_the_workers_are_full() -> None:
    shedder = LoadShedder(Demand(full=True), [SOME])
    assert shed(shedder, SOME, 100) == 0
    assert shed(shedder, OTHER, 100) > 90


def test_while_behind_nobody_comes_in() -> None:
    shedder = LoadShedder(Demand(found_share=1.0), [SOME])
    shedder.behind = True
    assert shed(shedder, SOME, 100) == 100


def test_questions_are_shed_while_the_cache_has_nothing_and_not_when_it_has(redis_url: str) -> None:
    """Of the real demand: as many questions under way as one worker is given, and none was in the cache."""
    under_way, others = suggested(*range(1, 1025)), suggested(*range(2001, 2161))

    async def run() -> None:
        async with open_harness(redis_url, wait_budget=60) as harness:
            shedder = LoadShedder(harness.admission, harness.dispatcher.pending)
            assert sum(map(shedder.sheds, others)) == 0, "nothing is under way"
            outcomes = await asyncio.gather(*map(harness.outcome, under_way))
            assert {type(outcome) for outcome in outcomes} == {StillWorkingError}
            assert harness.full
            assert harness.admission.found_share < 0.01
            assert sum(map(shedder.sheds, others)) == 158, "all but a sample"
            assert sum(map(shedder.sheds, under_way)) == 0, "their answers cost nobody anything"

            in_cache = suggested(*range(3001, 3013))
            harness.write(*((question, ranking(question.subject)) for question in in_cache))
            for question in in_cache:
                assert (await harness.ask(question)).cached
            assert harness.full
            assert sum(map(shedder.sheds, others)) == 0, "the cache has a tenth of the latest questions"

    asyncio.run(run())


@pytest.mark.processes
def test_a_gateway_whose_workers_are_full_looks_in_vain_for_a_while_and_then_answers_early(
    trained: Trained, redis_client: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    announce(redis_client, "never-works", trained.manifest.version)
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url, "WAIT_BUDGET": "60"}
    with trained.engine.connect() as connection:
        movies = [movie.movie_id for movie in queries.all_movies(connection)]
    paths = [f"/api/v1/movies/{movie_id}/most_similar_movies" for movie_id in movies]
    with Gateway(log=tmp_path / "gateway.log", **settings) as gateway:
        gateway.wait_until_ready(1)
        later = {"Prefer": "respond-async"}
        # A batch is what a workers is given that answers nothing; they gather for longer than a second.
        assert {gateway.client.get(path, headers=later).status_code for path in paths[:128]} == {202}
        refused = [gateway.client.get(path) for path in paths[128 : 128 + 320]]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.json()["type"] for answer in refused} == {"urn:movierec:problem:queue-full"}
        early = ["More is asked" in answer.json()["detail"] for answer in refused]
        # The cache had none of 0.99 ** n < 0.1 questions; after that one in 64 is looked at.
        assert early.index(True) == 230 - 128
        assert sum(early[-160:]) == 157
        assert gateway.client.get(paths[0], headers=later).status_code == 202, "it is under way"


def test_at_first_nothing_is_shed() -> None:
    shedder = LoadShedder(Demand(), [])
    assert shedder.behind is False
    assert shedder.shed == 0


def test_who_is_behind_has_caught_up_only_when_well_below_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lags of 250 ms and of 100 ms are the marks; between them all stays as it is."""
    shedder, now, seen = LoadShedder(Demand(), []), [0.0], []
    lags = iter([0.0, 0.2, 0.26, 0.2, 0.11, 0.09, 0.2])

    async def sleep(seconds: float) -> None:
        seen.append(shedder.behind)
        lag = next(lags, None)
        if lag is None:
            raise asyncio.CancelledError
        now[0] += seconds + lag

    loop = SimpleNamespace(time=lambda: now[0])
    monkeypatch.setattr(shedding, "asyncio", SimpleNamespace(get_running_loop=lambda: loop, sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(shedder.watch())
    assert seen[1:] == [False, False, True, True, True, False, False]


def test_a_loop_that_is_held_up_is_behind_and_then_catches_up() -> None:
    async def run() -> None:
        shedder = LoadShedder(Demand(), [])
        watch = asyncio.create_task(shedder.watch())

        async def until(behind: bool) -> None:
            while shedder.behind is not behind:
                await asyncio.sleep(0.01)

        assert not shedder.behind
        await asyncio.sleep(0.01)
        time.sleep(0.6)  # nothing else runs meanwhile
        await until(behind=True)
        await until(behind=False)
        watch.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))


@pytest.mark.processes
def test_while_behind_questions_are_shed_and_memory_answers(
    trained: Trained, redis_url: str, tmp_path: Path
) -> None:
    """The watch is replaced by one that a file switches."""
    switch = tmp_path / "behind"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'gateway' in sys.orig_argv:\n"
        "    import asyncio, os\n"
        "    from gateway.load.shedding import LoadShedder\n"
        "    async def watch(self):\n"
        "        while True:\n"
        f"            self.behind = os.path.exists({str(switch)!r})\n"
        "            await asyncio.sleep(0.01)\n"
        "    LoadShedder.watch = watch\n",
        encoding="utf-8",
    )
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url}
    path = f"{tmp_path}:{PROJECT}"
    with Gateway(log=tmp_path / "gateway.log", PYTHONPATH=path, **settings) as gateway:
        client = gateway.client
        movie = client.get("/api/v1/movies/1")
        unknown = "/api/v1/users/999999/suggested_movies"
        assert client.get(unknown).status_code == 404
        switch.touch()

        def rejected() -> httpx.Response | None:
            answer = client.get(unknown)
            return answer if answer.status_code == 503 else None

        refused = wait_for(rejected, "it rejects")
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:movierec:problem:queue-full"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["X-Request-ID"]
        assert client.get("/api/v1/movies/1").content == movie.content
        assert client.get("/livez").status_code == 200
        switch.unlink()
        wait_for(lambda: client.get(unknown).status_code == 404, "it answers again")


@pytest.mark.processes
def test_many_new_clients_are_taken_in_few_turns_of_a_slow_loop(
    trained: Trained, redis_url: str, tmp_path: Path
) -> None:
    """Each turn takes 20 ms more; a loop that accepts one client a turn needs as many turns as clients."""
    counted, ended = tmp_path / "turns", tmp_path / "ended"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'gateway' in sys.orig_argv:\n"
        "    import asyncio, pathlib, time\n"
        "    from gateway.load.shedding import LoadShedder\n"
        "    async def watch(self):\n"
        "        turns = 0\n"
        "        while True:\n"
        "            await asyncio.sleep(0)\n"
        f"            if pathlib.Path({str(ended)!r}).exists():\n"
        "                return\n"
        "            time.sleep(0.02)\n"
        "            turns += 1\n"
        f"            pathlib.Path({str(counted)!r}).write_text(str(turns))\n"
        "    LoadShedder.watch = watch\n",
        encoding="utf-8",
    )
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url}
    clients = 300
    with (
        Gateway(log=tmp_path / "gateway.log", PYTHONPATH=f"{tmp_path}:{PROJECT}", **settings) as gateway,
        ExitStack() as connections,
    ):
        wait_for(lambda: counted.exists() and counted.read_text(encoding="utf-8"), "the slow loop turns")
        address = ("127.0.0.1", gateway.port)
        before = int(counted.read_text(encoding="utf-8"))
        opened = [connections.enter_context(socket.create_connection(address, 30)) for _ in range(clients)]
        for connection in opened:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in opened)
        assert int(counted.read_text(encoding="utf-8")) - before < clients / 3
        ended.touch()


class Transport:
    def __init__(self) -> None:
        self.sent: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def is_closing(self) -> bool:
        return "closed" in self.sent

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        self.sent.append("ended")

    def close(self) -> None:
        self.sent.append("closed")


def test_writes_of_one_turn_are_sent_together_and_in_order() -> None:
    async def run() -> list[bytes | str]:
        transport = Transport()
        joined = JoinedWrites(transport)  # type: ignore[arg-type]
        joined.write(b"head ")
        joined.write(b"body")
        await asyncio.sleep(0)
        joined.write(b"next")
        await asyncio.sleep(0)
        joined.write(b"last")
        joined.close()
        await asyncio.sleep(0)
        return transport.sent

    assert asyncio.run(run()) == [b"head body", b"next", b"last", "closed"]


def test_no_more_is_held_than_the_high_water_mark_and_one_answer() -> None:
    async def run() -> None:
        transport = Transport()
        joined = JoinedWrites(transport)  # type: ignore[arg-type]
        for _ in range(3):
            joined.write(b"a" * 30_000)
        assert transport.sent == [b"a" * 90_000]
        joined.write(b"b" * 10)
        assert (joined.unsent, joined.taken) == (10, 90_000)
        await asyncio.sleep(0)
        assert transport.sent == [b"a" * 90_000, b"b" * 10]
        assert joined.unsent == 0

    asyncio.run(run())


def test_while_a_client_sends_only_our_side_is_ended() -> None:
    async def run() -> list[bytes | str]:
        transport = Transport()
        joined = JoinedWrites(transport)  # type: ignore[arg-type]
        joined.lingers = True
        joined.write(b"answer")
        joined.close()
        assert joined.is_closing()
        joined.write(b"late")
        await asyncio.sleep(0)
        joined.close()
        return transport.sent

    assert asyncio.run(run()) == [b"answer", "ended", "closed"]
