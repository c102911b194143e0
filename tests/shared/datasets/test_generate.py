import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.datasets.formats import fingerprint, read_dataset
from shared.datasets.generate import GeneratedSummary, generate
from shared.datasets.model import ReadReport
from shared.errors import DataError
from shared.genres import NO_GENRES
from shared.progress import Step


class Sizes(TypedDict):
    n_ratings: int
    n_users: int
    n_movies: int


_SIZES = Sizes(n_ratings=80_000, n_users=800, n_movies=4_000)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GeneratedSummary]:
    directory = tmp_path_factory.mktemp("generated")
    return directory, generate(directory, **_SIZES, seed=7)


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_files_and_headers_are_those_of_movielens(generated: tuple[Path, GeneratedSummary]) -> None:
    headers = {
        path.name: path.read_bytes().split(b"\n")[0].decode()
        for path in generated[0].iterdir()
        if path.suffix == ".csv"
    }
    assert headers == {
        "movies.csv": "movieId,title,genres",
        "ratings.csv": "userId,movieId,rating,timestamp",
        "tags.csv": "userId,movieId,tag,timestamp",
        "links.csv": "movieId,imdbId,tmdbId",
        "genome-scores.csv": "movieId,tagId,relevance",
        "genome-tags.csv": "tagId,tag",
    }
    assert {path.name for path in generated[0].iterdir()} - set(headers) == {"README.txt", "generated.json"}
    assert all(b"\r" not in content for content in _contents(generated[0]).values())


def test_it_reads_back_without_complaint(generated: tuple[Path, GeneratedSummary]) -> None:
    directory, summary = generated
    data = read_dataset(directory)
    assert data.report == ReadReport()
    assert len(data.ratings) == summary.n_ratings == _SIZES["n_ratings"]
    assert data.ratings.user_id.nunique() == summary.n_users == _SIZES["n_users"]
    assert len(data.movies) == summary.n_movies == _SIZES["n_movies"]
    assert len(data.tags) == summary.n_tags > 0
    raw = pd.read_csv(directory / "ratings.csv", dtype={"rating": str})
    assert raw.rating.isin([str(n / 2) for n in range(1, 11)]).all()
    # Sorted as written, by user and movie.
    assert raw.userId.tolist() == data.ratings.user_id.tolist()
    assert raw.movieId.tolist() == data.ratings.movie_id.tolist()
    assert np.diff(data.movies.movie_id).max() > 1
    assert data.movies.imdb_id.notna().all()
    assert data.movies.tmdb_id.isna().any()


def test_distributions_are_those_of_movielens(generated: tuple[Path, GeneratedSummary]) -> None:
    directory, summary = generated
    ratings = read_dataset(directory).ratings
    assert 3.4 < ratings.rating.mean() < 3.65
    assert 0.98 < ratings.rating.std() < 1.12
    assert summary.mean_rating == pytest.approx(ratings.rating.astype("float64").mean())
    assert summary.std_rating == pytest.approx(ratings.rating.astype("float64").std(), rel=1e-4)
    assert 0.7 < summary.noise_floor < 0.85
    activity = ratings.user_id.value_counts()
    assert activity.min() >= 20
    assert activity.median() < 0.75 * activity.mean()
    fame = ratings.movie_id.value_counts()
    assert 0.35 < fame.iloc[0] / summary.n_users < 0.65
    assert fame.iloc[: len(fame) // 10].sum() > 0.4 * len(ratings)
    assert fame.min() <= 3


def _agreement(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Correlate how alike pairs of movies are among some users with how alike they are among others."""
    pairs = np.triu_indices(len(first.columns), k=1)
    alike = [half.corr(min_periods=20).to_numpy()[pairs] for half in (first, second)]
    known = ~np.isnan(alike[0]) & ~np.isnan(alike[1])
    return float(np.corrcoef(alike[0][known], alike[1][known])[0, 1])


def test_taste_shows_in_ratings_and_choices(generated: tuple[Path, GeneratedSummary]) -> None:
    ratings = read_dataset(generated[0]).ratings
    table = ratings.pivot(index="user_id", columns="movie_id", values="rating")
    table = table.sub(table.mean(axis=1), axis=0)[ratings.movie_id.value_counts().index[:80]]
    chosen = table.notna().astype(float)
    # Pure chance gives 0, give or take 0.02.
    assert _agreement(table[::2], table[1::2]) > 0.1
    assert _agreement(chosen[::2], chosen[1::2]) > 0.1


def test_time_goes_on_within_sessions(generated: tuple[Path, GeneratedSummary]) -> None:
    ratings = read_dataset(generated[0]).ratings
    assert ratings.timestamp.between(822_873_600, 1_427_760_000).all()
    gaps = ratings.sort_values(["user_id", "timestamp"]).groupby("user_id").timestamp.diff().dropna()
    assert (gaps < 600).mean() > 0.9
    assert (gaps > 86_400).sum() > 100


def test_titles_are_unique_and_varied(generated: tuple[Path, GeneratedSummary]) -> None:
    with (generated[0] / "movies.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    titles = [row["title"] for row in rows]
    assert len(set(titles)) == len(titles)
    assert any(", The (" in title for title in titles)
    assert any('"' in title for title in titles)
    assert any(not title.isascii() for title in titles)
    assert 0 < sum(not title.endswith(")") for title in titles) < 20
    genres = [row["genres"] for row in rows]
    assert NO_GENRES in genres
    assert len({genre for row in genres for genre in row.split("|")} - {NO_GENRES}) == 18
    assert all(row.split("|") == sorted(row.split("|")) for row in genres)


def test_the_genome_covers_the_best_known_movies(generated: tuple[Path, GeneratedSummary]) -> None:
    scores = pd.read_csv(generated[0] / "genome-scores.csv")
    tags = pd.read_csv(generated[0] / "genome-tags.csv")
    assert tags.tagId.tolist() == list(range(1, 129))
    assert tags.tag.is_unique
    assert len(scores) == 128 * 1_600
    assert scores.relevance.between(0, 1).all()
    fame = read_dataset(generated[0]).ratings.movie_id.value_counts()
    covered = fame.index.isin(scores.movieId)
    assert fame[covered].sum() > 0.75 * fame.sum()


def test_the_summary_is_written_down(generated: tuple[Path, GeneratedSummary]) -> None:
    directory, summary = generated
    assert json.loads((directory / "generated.json").read_text(encoding="utf-8")) == asdict(summary)
    readme = (directory / "README.txt").read_text(encoding="utf-8")
    assert "was generated by movierec" in readme
    assert f"{summary.noise_floor:.4f}" in readme
    assert "seed      7" in readme


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    sizes = Sizes(n_ratings=3_000, n_users=80, n_movies=300)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, **sizes, seed=seed)
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")
    different = _contents(tmp_path / "c")
    same = {name for name, content in _contents(tmp_path / "a").items() if different[name] == content}
    assert same == {"genome-tags.csv"}


@settings(max_examples=25, deadline=None)
@given(data=st.data(), n_users=st.integers(2, 60), n_movies=st.integers(4, 80), seed=st.integers(0, 2**40))
def test_any_possible_size_is_met_exactly(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n_users: int, n_movies: int, seed: int
) -> None:
    n_ratings = data.draw(st.integers(n_users, n_users * n_movies // 2))
    directory = tmp_path_factory.mktemp("sizes")
    generate(directory, n_ratings=n_ratings, n_users=n_users, n_movies=n_movies, seed=seed)
    read = read_dataset(directory)
    assert read.report == ReadReport()
    assert (len(read.ratings), read.ratings.user_id.nunique(), len(read.movies)) == (
        n_ratings,
        n_users,
        n_movies,
    )
    activity = read.ratings.user_id.value_counts()
    assert activity.min() >= min(20, n_ratings // n_users)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((201, 20, 20), "cannot generate 201 ratings of 20 users and 20 movies: ask for 20 .* to 200"),
        ((19, 20, 20), "cannot generate 19 ratings"),
        ((10, 1, 20), "cannot generate 1 users: ask for 2"),
        ((10, 2, 3), "cannot generate 3 movies: ask for 4"),
        ((10, 2, 10**9), "cannot generate 1,000,000,000 movies"),
        ((-5, 2, 10), "cannot generate -5 ratings"),
    ],
)
def test_impossible_sizes_are_refused(tmp_path: Path, sizes: tuple[int, int, int], message: str) -> None:
    n_ratings, n_users, n_movies = sizes
    with pytest.raises(DataError, match=message):
        generate(tmp_path / "x", n_ratings=n_ratings, n_users=n_users, n_movies=n_movies)
    assert not (tmp_path / "x").exists()


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the seed -1 is negative"):
        generate(tmp_path, n_ratings=100, n_users=10, n_movies=50, seed=-1)


def test_real_data_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("movies.csv", "ratings.csv"):
        (tmp_path / name).write_text("precious", encoding="utf-8")
    with pytest.raises(DataError, match=r"has movies\.csv, which was not generated"):
        generate(tmp_path, n_ratings=100, n_users=10, n_movies=50)
    assert (tmp_path / "ratings.csv").read_text(encoding="utf-8") == "precious"


def test_generated_data_may_be_replaced(tmp_path: Path) -> None:
    generate(tmp_path, n_ratings=100, n_users=10, n_movies=50)
    first = fingerprint(tmp_path)
    generate(tmp_path, n_ratings=200, n_users=10, n_movies=50)
    assert fingerprint(tmp_path) != first
    assert len(read_dataset(tmp_path).ratings) == 200


def test_a_directory_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot write to"):
        generate(tmp_path / "file" / "below", n_ratings=100, n_users=10, n_movies=50)


def test_progress_reaches_the_number_of_ratings(tmp_path: Path) -> None:
    steps: list[Step] = []
    generate(tmp_path, n_ratings=1_000, n_users=40, n_movies=100, progress=steps.append)
    assert steps[-1] == Step("generating ratings", 1_000, 1_000, "rating")
