"""A gateway that falls behind turns questions away and goes on answering what it has."""

import asyncio
import time
from pathlib import Path

from gateway.overload import LoopLag
from tests.conftest import PROJECT, Trained
from tests.processes import Gateway, wait_for


def test_a_loop_that_is_held_up_is_behind_and_then_catches_up() -> None:
    async def run() -> list[bool]:
        lag = LoopLag()
        watch = asyncio.create_task(lag.watch())
        seen = [lag.behind]
        await asyncio.sleep(0.01)
        time.sleep(0.6)  # nothing else runs meanwhile
        while not lag.behind:
            await asyncio.sleep(0)
        seen.append(lag.behind)
        while lag.behind:
            await asyncio.sleep(0.01)
        seen.append(lag.behind)
        watch.cancel()
        return seen

    assert asyncio.run(run()) == [False, True, False]


def test_while_behind_questions_are_turned_away_and_memory_answers(
    trained: Trained, redis_url: str, tmp_path: Path
) -> None:
    """The watch is replaced by one that a file switches."""
    switch = tmp_path / "behind"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'gateway' in sys.orig_argv:\n"
        "    import asyncio, os\n"
        "    from gateway.overload import LoopLag\n"
        "    async def watch(self):\n"
        "        while True:\n"
        f"            self.behind = os.path.exists({str(switch)!r})\n"
        "            await asyncio.sleep(0.01)\n"
        "    LoopLag.watch = watch\n"
    )
    settings = {"DATA_DIR": str(trained.data_dir), "QUEUE_URL": redis_url}
    path = f"{tmp_path}:{PROJECT}"
    with Gateway(log=tmp_path / "gateway.log", PYTHONPATH=path, **settings) as gateway:
        client = gateway.client
        movie = client.get("/api/v1/movies/1")
        unknown = "/api/v1/users/999999/suggested_movies"
        assert client.get(unknown).status_code == 404
        switch.touch()
        refused = wait_for(
            lambda: (answer := client.get(unknown)).status_code == 503 and answer, "it turns away"
        )
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:movierec:problem:queue-full"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["X-Request-ID"]
        assert client.get("/api/v1/movies/1").content == movie.content
        assert client.get("/livez").status_code == 200
        switch.unlink()
        wait_for(lambda: client.get(unknown).status_code == 404, "it answers again")
