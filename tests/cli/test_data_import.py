"""Importing tables that other programs have written, as a user would."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shared.datasets.generate import generate
from tests.conftest import PROJECT


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DATA_DIR": "data", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "movies.csv").write_text("movie_id;title;genres\n1;A (1990);Drama|\n2;B (1991);|\n", "utf-8")
    rows = "".join(f"{user};{1 + user % 2};{6 + user % 5}\n" for user in range(1, 101))
    (directory / "ratings.csv").write_text("user_id;movie_id;rating\n" + rows, "utf-8")
    return directory


_UNDERSTOOD = (
    "  movies.csv: separator ;, columns movie_id as movieId\n"
    "  ratings.csv: separator ;, columns user_id as userId, movie_id as movieId, scale 0-10 halved, "
    "no timestamps: order of lines\n"
)


def test_a_dry_run_tells_what_was_understood_and_writes_nothing(table: Path, tmp_path: Path) -> None:
    tried = run("data", "import", "mine", "--dry-run", cwd=tmp_path)
    sizes = "100 ratings of 2 movies by 100 users, 0 tags"
    assert tried.stdout == f"mine holds {sizes}. Nothing was imported.\n{_UNDERSTOOD}"
    assert tried.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    imported = run("data", "import", "mine", cwd=tmp_path)
    assert imported.stdout == f"Imported mine: {sizes}.\n{_UNDERSTOOD}"
    again = run("data", "import", "mine", cwd=tmp_path)
    assert "imported already" in again.stdout
    # Said otherwise, the same files are another data set.
    other = run("data", "import", "mine", "--scale", "1-100", cwd=tmp_path)
    assert "scale 1-100 divided by 20" in other.stdout


def test_a_dry_run_tells_what_would_be_skipped(table: Path, tmp_path: Path) -> None:
    with (table / "ratings.csv").open("a", encoding="utf-8") as file:
        file.write("x;1;7\n")
    tried = run("data", "import", "mine", "--dry-run", cwd=tmp_path)
    assert tried.returncode == 1
    assert "--skip-bad-rows" in tried.stdout
    assert "1 bad rows were found" in tried.stderr
    assert "ratings.csv:102: userId is not a whole number: 'x'" in tried.stderr
    assert run("data", "import", "mine", "--dry-run", "--skip-bad-rows", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_doubt_is_one_line_that_names_the_option(table: Path, tmp_path: Path) -> None:
    ratings = table / "ratings.csv"
    ratings.write_text(ratings.read_text("utf-8") + "101;1;0\n", "utf-8")
    refused = run("data", "import", "mine", cwd=tmp_path)
    assert refused.returncode == 1
    assert "--scale 0-10 (the lowest) or --scale 1-10" in refused.stderr
    assert "Traceback" not in refused.stderr
    imported = run("data", "import", "mine", "--scale", "0-10", cwd=tmp_path)
    assert "101 ratings" in imported.stdout


@pytest.mark.slow
def test_a_zip_is_data_for_every_command(tmp_path: Path) -> None:
    generate(tmp_path / "made", n_ratings=500, n_users=20, n_movies=60, seed=1)
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for path in (tmp_path / "made").glob("*.csv"):
            archive.write(path, f"folder/of/some/{path.name}")
    imported = run("data", "import", "made.zip", cwd=tmp_path)
    assert imported.stdout.startswith("Imported some: 500 ratings")
    assert "some is imported already" in run("data", "import", "made", cwd=tmp_path).stdout
    explored = run("explore", "ratings", "--data", "made.zip", cwd=tmp_path)
    assert explored.returncode == 0, explored.stderr
    trained = run("train", "--data", "made.zip", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
