"""Start, second start, retraining, deaths, and the end."""

import os
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.queue.connections import connect
from tests.conftest import PROJECT
from tests.processes import alive, wait_for
from tests.system.conftest import Up
from tests.system.probes import flushed

pytestmark = pytest.mark.system


def test_it_says_how_to_use_it_and_the_line_works(lasting_up: Up) -> None:
    up = lasting_up
    url = f"http://127.0.0.1:{up.port}"
    for words in (url, f"{url}/docs", f"curl {url}/api/v1/users/1/suggested_movies", "admin-token"):
        assert words in up.output
    answer = up.client.get("/api/v1/users/1/suggested_movies")
    assert answer.status_code == 200
    assert answer.json()["suggested_movies"]
    assert up.client.get("/readyz").json()["ready"]


def test_the_token_is_secret(lasting_up: Up) -> None:
    up = lasting_up
    path = up.data_dir / "admin-token"
    token = path.read_text(encoding="utf-8").strip()
    assert path.stat().st_mode & 0o077 == 0
    assert up.client.post("/api/v1/models", json={"algorithm": "x"}, headers=up.token()).status_code == 422
    for log in [up.log, *(up.data_dir / "logs").glob("*.log"), up.data_dir / "redis" / "redis.log"]:
        assert token not in log.read_text(encoding="utf-8")
    for command in up.children().values():
        assert "requirepass" not in command
        assert token not in command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(up: Up, number: signal.Signals) -> None:
    below = up.children()
    assert len(below) == 6, below  # Redis, two workers, warmer, trainer, gateway
    assert up.stop(number) == 0
    assert "Everything is stopped." in up.output
    assert not any(alive(pid) for pid in below)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", up.port))


def test_if_it_is_killed_its_children_end_too(up: Up) -> None:
    below = up.children()
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in below), "no child outlives it", 30)


def test_a_first_start_imports_and_trains(small_files: Path, tmp_path: Path) -> None:
    with Up(tmp_path, "--data", str(small_files), "--workers", "1") as up:
        up.wait_until_up()
        assert "Imported small: 5,000 ratings" in up.output
        assert len(up.pids("--queue serve")) == 1
        assert up.client.get("/api/v1/users/1/suggested_movies").status_code == 200


def test_a_second_start_reuses_data_and_model_and_is_fast(up: Up, tmp_path: Path) -> None:
    version = up.client.get("/api/v1/models/current").json()["version"]
    token = up.token()
    first = up.client.get("/api/v1/users/2/suggested_movies").content
    up.stop()
    started = time.monotonic()
    with Up(tmp_path) as again:
        again.wait_until_up()
        assert time.monotonic() - started < 10
        assert "Imported" not in again.output
        assert again.client.get("/api/v1/models/current").json()["version"] == version
        assert again.client.get("/api/v1/users/2/suggested_movies").content == first
        assert again.token() == token


def test_workers_switch_to_a_new_model_without_failing_a_request(up: Up) -> None:
    (before,) = up.workers()
    body = {"algorithm": "svd", "parameters": {"n_epochs": 40, "seed": 3}}
    accepted = up.client.post("/api/v1/models", json=body, headers=up.token())
    assert accepted.status_code == 202
    job = accepted.headers["Location"]
    assert accepted.json() == {"job": job}

    refused = up.client.post("/api/v1/models", json=body, headers=up.token())
    assert refused.status_code == 409
    assert refused.headers["Location"] == refused.json()["job"] == job

    statuses, versions, progress = set(), set(), []
    user = 0

    def switched() -> bool:
        nonlocal user
        user = user % 100 + 1
        answer = up.client.get(f"/api/v1/users/{user}/suggested_movies")
        statuses.add(answer.status_code)
        versions.add(answer.headers.get("X-Model-Version"))
        state = up.client.get(job).json()
        if state["progress"]:
            progress.append((state["progress"]["phase"], state["progress"]["done"]))
        assert state["state"] != "failed", state
        return (
            state["state"] == "finished" and list(up.workers().values()) == [2] and before not in up.workers()
        )

    wait_for(switched, "both workers have the new model")
    (after,) = up.workers()
    result = up.client.get(job).json()["result"]
    assert result["model_version"] == after != before
    assert up.client.get("/api/v1/models/current").json()["version"] == after
    assert statuses == {200}
    assert before in versions <= {before, after}
    assert any(phase == "training svd" and done > 0 for phase, done in progress)
    fresh = up.client.get("/api/v1/users/1/suggested_movies")
    assert fresh.headers["X-Model-Version"] == after
    assert up.client.post("/api/v1/models", json=body, headers=up.token()).status_code == 202


def test_a_worker_that_is_killed_while_it_answers_is_replaced(lasting_up: Up) -> None:
    """Whichever of the two had the question in its hands, the client gets the answer, late at the most.

    If it was the one that was killed, the question counts as lost when the queue has been idle for a second,
    and is asked again: well within the five seconds that a client waits. So it is neither a 202 nor a 503.
    """
    up = lasting_up
    path = "/api/v1/users/7/suggested_movies"
    victim, other = up.pids("--queue serve")
    url = (up.data_dir / "redis" / "url").read_text(encoding="utf-8").strip()
    with connect(url) as redis, ThreadPoolExecutor(1) as pool:
        try:
            for pid in (victim, other):
                os.kill(pid, signal.SIGSTOP)
            asked = pool.submit(up.client.get, path)
            wait_for(
                lambda: redis.exists("rq:queue:serve:intermediate"), "Redis has handed it to one of them"
            )
            os.kill(victim, signal.SIGKILL)
        finally:
            os.kill(other, signal.SIGCONT)
        answer = asked.result(timeout=20)
    assert (answer.status_code, answer.headers.get("X-Cache")) == (200, "miss"), answer.text
    assert answer.elapsed.total_seconds() < 5
    wait_for(lambda: len(up.pids("--queue serve")) == 2, "the worker is started again")
    again = up.client.get(path)
    assert (again.headers["X-Cache"], again.content) == ("hit", answer.content)
    assert up.output.count("starting it again") == 1


def test_a_redis_that_is_killed_comes_back_with_its_queue(lasting_up: Up) -> None:
    up = lasting_up
    body = {"algorithm": "svd", "parameters": {"n_epochs": 5}}
    (trainer,) = up.pids("--queue train")
    os.kill(trainer, signal.SIGSTOP)  # the training stays in the queue
    job = up.client.post("/api/v1/models", json=body, headers=up.token()).headers["Location"]
    with connect((up.data_dir / "redis" / "url").read_text(encoding="utf-8").strip()) as redis:
        wait_for(lambda: flushed(redis), "what was accepted is in the file")
    (server,) = up.redis_pids()
    os.kill(server, signal.SIGKILL)
    wait_for(
        lambda: "Redis ended" in up.output and up.client.get("/readyz").status_code == 200, "all is back"
    )
    wait_for(
        lambda: up.client.get("/api/v1/users/9/suggested_movies").status_code == 200, "questions are answered"
    )
    os.kill(trainer, signal.SIGCONT)
    wait_for(lambda: up.client.get(job).json()["state"] == "finished", "the training is done", 60)


def test_a_trainer_that_is_killed_loses_no_accepted_training(lasting_up: Up) -> None:
    up = lasting_up
    body = {"algorithm": "svd", "parameters": {"n_epochs": 300, "n_factors": 100}}
    job = up.client.post("/api/v1/models", json=body, headers=up.token()).headers["Location"]
    wait_for(lambda: up.client.get(job).json()["progress"], "the training has begun")
    (trainer,) = up.pids("--queue train")
    children = Path(f"/proc/{trainer}/task/{trainer}/children").read_text(encoding="utf-8").split()
    assert children
    os.kill(int(children[0]), signal.SIGKILL)
    state = wait_for(
        lambda: (found := up.client.get(job).json())["state"] in {"finished", "failed"} and found,
        "the training ends",
        90,
    )
    assert state["state"] == "finished", state


def test_a_running_training_does_not_outlive_the_stop(up: Up) -> None:
    body = {"algorithm": "bayes", "parameters": {"n_sweeps": 10000}}
    job = up.client.post("/api/v1/models", json=body, headers=up.token()).headers["Location"]
    progress = wait_for(
        lambda: (found := up.client.get(job).json()["progress"]) and found["metrics"] and found,
        "sweeps are told",
    )
    assert progress["metrics"]["train_rmse"] > 0
    assert progress["seconds_left"] >= 0
    (trainer,) = up.pids("--queue train")
    (training,) = map(
        int, Path(f"/proc/{trainer}/task/{trainer}/children").read_text(encoding="utf-8").split()
    )
    started = time.monotonic()
    up.stop()
    assert time.monotonic() - started < 10
    wait_for(lambda: not alive(training), "the training is gone", 5)


def test_a_port_that_is_taken_is_said_at_once(small_files: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = Up(tmp_path, "--data", str(small_files), "--port", str(port))
        assert up.process.wait(30) == 1
    up.client.close()
    assert f"127.0.0.1:{port}" in up.output
    assert "Address already in use" in up.output
    assert "--port" in up.output
    assert not up.children()


def test_a_child_that_dies_at_its_start_is_named_and_all_is_stopped(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    die = "    print('no luck today', flush=True)\n    os._exit(7)\n"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, sys\nif 'gateway' in sys.orig_argv:\n{die}", encoding="utf-8"
    )
    up = Up(tmp_path, PYTHONPATH=f"{tmp_path}:{PROJECT}")
    assert up.process.wait(60) == 1
    up.client.close()
    assert "gateway died at its start with exit code 7" in up.output
    assert "no luck today" in up.output
    assert "Traceback" not in up.output
    assert not up.children()


def test_what_cannot_be_printed_ends_nothing(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    with Up(tmp_path, errors="/dev/full") as up:
        up.wait_until_up()
        victim = up.pids("--queue serve")[0]
        os.kill(victim, signal.SIGKILL)  # about which there is something to say
        wait_for(lambda: len(set(up.pids("--queue serve")) - {victim}) == 2, "it is started again")
        assert up.client.get("/api/v1/users/1/suggested_movies").status_code == 200
        assert up.process.poll() is None


def test_settings_that_are_wrong_are_named(small_files: Path, tmp_path: Path) -> None:
    up = Up(tmp_path, "--data", str(small_files), COMPUTE_THREADS="none")
    assert up.process.wait(60) == 1
    up.client.close()
    assert "COMPUTE_THREADS" in up.output
    assert "Traceback" not in up.output
    assert not up.children()


def test_bad_data_is_refused_with_its_line(small_files: Path, tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "movies.csv").write_text("movieId,title,genres\n1,A (1990),Drama\n", encoding="utf-8")
    (directory / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,good,5\n", encoding="utf-8")
    with Up(tmp_path, "--data", str(directory)) as up:
        assert up.process.wait(60) == 1
    assert "ratings.csv:2" in up.output
    assert "--skip-bad-rows" in up.output
    assert "Traceback" not in up.output
