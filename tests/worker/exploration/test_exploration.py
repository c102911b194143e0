"""Both reports as a user gets them: files in a directory."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from shared.datasets.formats import read_dataset
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError
from tests.worker.exploration.conftest import make_dataset
from worker.exploration import explore_movies, explore_ratings
from worker.exploration.movie_statistics import movie_statistics
from worker.exploration.panels import at_least
from worker.exploration.rating_statistics import rating_statistics
from worker.exploration.report import movie_report, rating_report
from worker.exploration.text import WIDTH

Explore = Callable[[Dataset, Path], list[Path]]

DEGENERATE = {
    "a single rating": make_dataset([(1, "Only (1999)", 1999, "Drama")], [(1, 1, 3)]),
    "no year and no genres": make_dataset([(1, "A", None, ""), (2, "B", None, "")], [(1, 1, 3), (2, 2, 5)]),
    "all ratings equal": make_dataset(
        [(1, "A (1990)", 1990, "Drama|War"), (2, "B (1990)", 1990, "Drama|War")],
        [(user, movie, 4) for user in range(1, 30) for movie in (1, 2)],
    ),
    "zero ratings": make_dataset([(1, "A", None, "")], [(1, 1, 0)]),
    "titles to stumble over": make_dataset(
        [
            (1, "七人の侍 " * 40, 1954, "アクション|Drama"),
            (2, "$x^{2$ \x1b[31mred\n[bold]", None, "$\\frac|[red]|Drama"),
            (2**31 - 1, "é" * 300, 9999, "x" * 300),
        ],
        [(1, 1, 5), (1, 2, 0.5), (2**31 - 1, 2**31 - 1, 3)],
        name="$名$" * 60,
    ),
    "many genres": make_dataset(
        [(1, "A", 1, "|".join(f"G{n}" for n in range(70))), (2, "B", 2, "G1")], [(1, 1, 1), (1, 2, 2)]
    ),
    "many rating values": make_dataset([(1, "A", None, "")], [(n, 1, n / 3) for n in range(1, 90)]),
}


def check_files(paths: list[Path], results: Path, kind: str) -> None:
    names = [f"output_explore_dataset_{kind}.txt", f"output_explore_dataset_{kind}.png"]
    assert paths == [results / name for name in names]
    assert sorted(path.name for path in results.iterdir()) == sorted(names)  # nothing unfinished left
    text = paths[0].read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert max(cell_len(line) for line in text.splitlines()) <= WIDTH
    with Image.open(BytesIO(paths[1].read_bytes())) as image:
        image.load()
        assert image.format == "PNG"
        assert 1200 <= image.width <= 2400
        assert 900 <= image.height <= 2400
        shades = np.asarray(image.convert("L"))
        assert shades.min() < 100  # something dark is drawn
        assert shades.max() > 250  # on white


@pytest.mark.parametrize("dataset", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize(("explore", "kind"), [(explore_movies, "movies"), (explore_ratings, "ratings")])
def test_data_out_of_the_ordinary(tmp_path: Path, dataset: Dataset, explore: Explore, kind: str) -> None:
    results = tmp_path / "new" / "results"
    check_files(explore(dataset, results), results, kind)


def test_real_data(tmp_path: Path, movielens_dir: Path) -> None:
    dataset = read_dataset(movielens_dir)
    check_files(explore_movies(dataset, tmp_path / "movies"), tmp_path / "movies", "movies")
    check_files(explore_ratings(dataset, tmp_path / "ratings"), tmp_path / "ratings", "ratings")
    movies = (tmp_path / "movies" / "output_explore_dataset_movies.txt").read_text(encoding="utf-8")
    for text in (movies, rating_report(dataset, rating_statistics(dataset))):
        assert text.startswith(f"{dataset.name}: ")
        assert f"{len(dataset.movies):,} movies, {len(dataset.ratings):,} ratings" in text


def test_movie_report_tells_every_figure(tiny: Dataset) -> None:
    lines = [" ".join(line.split()) for line in movie_report(tiny, movie_statistics(tiny)).splitlines()]
    assert lines[:2] == ["tiny: movies", "════════════"]
    assert "5 movies, 7 ratings, 0 tags" in lines
    assert "0 3 1.40 1 1.02" in lines  # genres per movie
    assert "1990 2005 1996.25 1995 6.50" in lines  # years, without thousands separators
    assert "Movies without a year, left out here: 1" in lines
    assert any(line.startswith("1990 2 50.0% ██") for line in lines)
    assert any(line.startswith("Drama 4 80.0% ██") for line in lines)
    assert "Comedy Drama 2 40.0% 1.25" in lines


def test_rating_report_tells_every_figure(tiny: Dataset) -> None:
    lines = [" ".join(line.split()) for line in rating_report(tiny, rating_statistics(tiny)).splitlines()]
    for line in (
        "users 4",
        "rated movies 4",
        "movies without a rating 1",
        "share of user and movie pairs rated 43.750%",
        "first rating (UTC) 2001-09-09 01:46:40",
        "last rating (UTC) 2001-09-09 01:52:40",
        "3 5 4.07 4 0.78",
        "1 3 1.75 1.50 0.83",
        "1 Alpha (1990) 3 4.500",
        "Best and worst movies with at least 1 vote",
        "Movies that have them: 4 of 4.",
    ):
        assert line in lines


def test_what_the_reader_noticed_is_told(tiny: Dataset) -> None:
    tiny.report.n_duplicate_ratings = 1234
    text = rating_report(tiny, rating_statistics(tiny))
    assert "1,234 older ratings of the same movie by the same user dropped" in text
    assert "bad rows" not in text


def test_results_are_replaced(tmp_path: Path, tiny: Dataset) -> None:
    stale = tmp_path / "output_explore_dataset_movies.txt"
    stale.write_text("old", encoding="utf-8")
    explore_movies(tiny, tmp_path)
    assert stale.read_text(encoding="utf-8") == movie_report(tiny, movie_statistics(tiny))


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, tiny: Dataset) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"Cannot write results to .*file"):
        explore_movies(tiny, tmp_path / "file")
    blocked = tmp_path / "output_explore_dataset_movies.txt"
    blocked.mkdir()
    with pytest.raises(ConfigurationError):
        explore_movies(tiny, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", blocked.name]


def test_curve_of_at_least_so_many_votes() -> None:
    values, counts = at_least(np.array([5, 1, 1, 2]))
    assert values.tolist() == [1, 2, 5]
    assert counts.tolist() == [4, 2, 1]
