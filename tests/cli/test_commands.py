"""Commands as a person runs them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.serving.run import MEASUREMENTS
from cli.main import app
from shared.datasets.generate import generate
from shared.processes.children import movierec_command
from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files") / "tiny"
    generate(directory, n_ratings=2_000, n_users=60, n_movies=150)
    return directory


def run(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        movierec_command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "100", **environment},
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["up"],
        ["gateway"],
        ["worker"],
        ["train"],
        ["evaluate"],
        ["data"],
        ["data", "download"],
        ["data", "demo"],
        ["data", "import"],
        ["data", "changed"],
        ["warm"],
        ["bench", "serving"],
        ["explore"],
        ["explore", "movies"],
        ["explore", "ratings"],
    ],
)
def test_every_command_explains_itself(command: list[str]) -> None:
    ended = CliRunner().invoke(app, [*command, "--help"])
    assert ended.exit_code == 0, ended.output
    assert "Usage" in ended.output


def test_every_measurement_is_named_by_the_help() -> None:
    """Not imported by the command: it would cost every command the numerical libraries."""
    ended = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bench", "serving", "--help"])
    assert [name for name in MEASUREMENTS if not re.search(rf"\b{name}\b", ended.output)] == []


def test_from_files_to_a_model(files: Path, tmp_path: Path) -> None:
    imported = run("data", "import", str(files), cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert "Imported tiny: 2,000 ratings of 150 movies by 60 users" in imported.stdout
    again = run("data", "import", str(files), cwd=tmp_path)
    assert "imported already" in again.stdout
    trained = run("train", "--algorithm", "svd", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    version = (tmp_path / "data" / "model" / "current").read_text(encoding="utf-8").strip()
    assert version in trained.stdout
    assert "training svd" in trained.stderr


def test_evaluate_writes_table_and_json(files: Path, tmp_path: Path) -> None:
    ended = run(
        "evaluate", "--data", str(files), "-a", "svd", "--folds", "2", "--json", "all.json", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "results" / "performance_SVD_tiny.txt").read_text(encoding="utf-8")
    assert table in ended.stdout
    document = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert document["results"][0]["algorithm"] == "svd"
    assert len(document["results"][0]["rmse"]["folds"]) == 2


@pytest.mark.parametrize("what", ["movies", "ratings"])
def test_explore_writes_text_and_plot(files: Path, tmp_path: Path, what: str) -> None:
    ended = run("explore", what, "--data", str(files), cwd=tmp_path, RESULTS_DIR="elsewhere")
    assert ended.returncode == 0, ended.stderr
    stem = tmp_path / "elsewhere" / f"output_explore_dataset_{what}"
    assert stem.with_suffix(".txt").read_text(encoding="utf-8") in ended.stdout
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_explore_where_the_locale_knows_few_characters(tmp_path: Path, encoding: str) -> None:
    directory = tmp_path / "few"
    directory.mkdir()
    (directory / "movies.csv").write_text(
        "movieId,title,genres\n1,\u00c9t\u00e9 \u6771\u4eac (1996),Drama\n", encoding="utf-8"
    )
    (directory / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,4.0,5\n", encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    for what in ("movies", "ratings"):
        ended = subprocess.run(
            movierec_command("explore", what, "--data", str(directory)),
            check=False,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **locale},
        )
        assert ended.returncode == 0, ended.stderr
        written = (tmp_path / "results" / f"output_explore_dataset_{what}.txt").read_text(encoding="utf-8")
        # Whatever the terminal does not have is a question mark, all else as in the file.
        assert ended.stdout == written.encode(encoding, errors="replace") + b"\n"


def test_demo_data_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    options = ["--ratings", "1000", "--users", "30", "--movies", "100", "--seed", "7"]
    for name in ("a", "b"):
        assert run("data", "demo", *options, "--out", name, cwd=tmp_path).returncode == 0
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")
    )
    assert "ratings.csv" in first
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "movierec data import"),
        (["train", "-a", "magic"], "no algorithm 'magic'"),
        (["evaluate", "-a", "magic"], "no algorithm 'magic'"),
        (["evaluate"], "movierec data import"),
        (["data", "import", "nowhere"], "nowhere"),
        (["data", "import", "."], "movies.csv"),
        (["data", "download", "ml-1z"], "ml-20m"),
        (["data", "demo", "--ratings", "10", "--users", "30"], "30"),
        (["explore", "movies"], "movierec data import"),
    ],
)
def test_what_goes_wrong_is_one_message(arguments: list[str], words: str, tmp_path: Path) -> None:
    ended = run(*arguments, cwd=tmp_path, HEARTBEAT_FILE=str(tmp_path / "none"))
    assert ended.returncode == 1, ended.stdout
    assert "error: " in ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ended = run("data", "import", str(tmp_path), cwd=tmp_path, DATA_DIR="file/data")
    assert ended.returncode == 1
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("variable", ["QUEUE_URL", "DATABASE_URL", "WAIT_BUDGET"])
def test_settings_that_make_no_sense(variable: str, tmp_path: Path) -> None:
    ended = run("gateway", cwd=tmp_path, **{variable: "nonsense"})
    assert ended.returncode == 1
    assert "error: " in ended.stderr
    assert variable in ended.stderr
    assert "Traceback" not in ended.stderr
