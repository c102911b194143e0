import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared.datasets.formats import find_dataset, fingerprint, read_dataset, year_of
from shared.datasets.model import ReadReport
from shared.datasets.movie_files import GENRES_100K
from shared.errors import DataError
from shared.progress import Step

from .conftest import MOVIES_CSV, RATINGS_CSV, Write


def test_csv_becomes_the_documented_tables(write: Write) -> None:
    data = read_dataset(
        write(
            {
                "movies.csv": "movieId,title,genres\n10,GoldenEye (1995),Action\n"
                "2,  Jumanji (1995) ,(no genres listed)\n",
                "ratings.csv": "userId,movieId,rating,timestamp\n2,10,0.5,4\n1,10,5.0,3\n1,2,4.5,2\n",
                "tags.csv": "userId,movieId,tag,timestamp\n2,10,bond,9\n1,2,fun,7\n1,2,older,5\n",
                "links.csv": "movieId,imdbId,tmdbId\n2,0113497,\n10,,710\n99,0000001,1\n",
            }
        )
    )
    assert data.name == "ml-test"
    assert data.report == ReadReport()
    assert data.movies.dtypes.astype(str).to_dict() == {
        "movie_id": "int32",
        "title": "str",
        "year": "Int16",
        "genres": "str",
        "imdb_id": "Int64",
        "tmdb_id": "Int64",
    }
    assert data.movies.movie_id.tolist() == [2, 10]
    assert data.movies.title.tolist() == ["Jumanji (1995)", "GoldenEye (1995)"]
    assert data.movies.genres.tolist() == ["", "Action"]
    assert data.movies.imdb_id.fillna(-1).tolist() == [113497, -1]
    assert data.movies.tmdb_id.fillna(-1).tolist() == [-1, 710]
    assert data.ratings.dtypes.astype(str).to_dict() == {
        "user_id": "int32",
        "movie_id": "int32",
        "rating": "float32",
        "timestamp": "int64",
    }
    assert data.ratings.to_numpy().tolist() == [[1, 2, 4.5, 2], [1, 10, 5.0, 3], [2, 10, 0.5, 4]]
    assert data.tags.dtypes.astype(str).to_dict() == {
        "user_id": "int32",
        "movie_id": "int32",
        "tag": "str",
        "timestamp": "int64",
    }
    assert data.tags.tag.tolist() == ["older", "fun", "bond"]


def test_header_order_extra_columns_bom_crlf_and_blank_lines(write: Write) -> None:
    data = read_dataset(
        write(
            {
                "movies.csv": "\ufeffgenres,extra,title,movieId\r\n\r\n"
                'Drama,x,"American President, The (1995)",11\r\n',
                "ratings.csv": b"\xef\xbb\xbftimestamp,note,rating,movieId,userId\r\n\r\n"
                b"7,hello,3.0,11,5\r\n  \r\n",
                "tags.csv": 'timestamp,tag,movieId,userId\r\n7,"say ""hi""",11,5\r\n',
            }
        )
    )
    assert data.movies.title.tolist() == ["American President, The (1995)"]
    assert data.ratings.to_numpy().tolist() == [[5, 11, 3.0, 7]]
    assert data.tags.tag.tolist() == ['say "hi"']
    assert data.report == ReadReport()


def test_files_without_a_last_line_end_are_read_whole(write: Write) -> None:
    data = read_dataset(write({"movies.csv": MOVIES_CSV.rstrip(), "ratings.csv": RATINGS_CSV.rstrip()}))
    assert (len(data.movies), len(data.ratings)) == (2, 3)


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995),
        ("Fawlty Towers (1975-1979)", 1975),
        ("Doctor Who (2005–)", 2005),
        ("Death Note: Desu nôto (2006–2007)", 2006),
        ("Babylon 5", None),
        ("(500) Days of Summer (2009)", 2009),
        ("2001", None),
        ("Blade Runner (1982) Final Cut", None),
        ("Land Before Time III: The Time of the Great Giving (1995) (V)", 1995),
    ],
)
def test_year_of_a_title(title: str, year: int | None) -> None:
    assert year_of(title) == year


def test_a_line_that_is_not_utf8_is_windows_1252_and_counted(write: Write) -> None:
    movies = b"movieId,title,genres\n1,Am\xc3\xa9lie (2001),Drama\n"
    movies += b"2,L\xe9on \x96 Pro (1994),Drama\n3,Odd \x81 (1994),X\n"
    data = read_dataset(write({"movies.csv": movies}))
    assert data.movies.title.tolist() == ["Amélie (2001)", "Léon – Pro (1994)", "Odd \x81 (1994)"]
    assert data.report.n_repaired_titles == 2


def test_ml_1m_is_latin_1_by_nature(write: Write) -> None:
    data = read_dataset(
        write(
            {
                "movies.dat": b"1::Mis\xe9rables, Les (1995)::Children's|Drama\n2::Jumanji (1995)::Drama\n",
                "ratings.dat": "2::1::5::978300760\n1::2::3::978302109\n",
                "users.dat": "1::F::1::10::48067\n",
            }
        )
    )
    assert data.movies.title.tolist() == ["Misérables, Les (1995)", "Jumanji (1995)"]
    assert data.movies.genres.tolist() == ["Children's|Drama", "Drama"]
    assert data.ratings.to_numpy().tolist() == [[1, 2, 3, 978302109], [2, 1, 5, 978300760]]
    assert data.report == ReadReport()
    assert data.tags.empty


def test_ml_10m_is_utf8_and_has_tags(write: Write) -> None:
    data = read_dataset(
        write(
            {
                "movies.dat": "1::Amélie (2001)::Comedy\n".encode()
                + b"2::L\xe9on (1994)::(no genres listed)\n",
                "ratings.dat": "1::1::4.5::838985046\r\n1::2::0.5::838985047\r\n",
                "tags.dat": "15::1::très, bien!::1215184630\n",
            }
        )
    )
    assert data.movies.title.tolist() == ["Amélie (2001)", "Léon (1994)"]
    assert data.movies.genres.tolist() == ["Comedy", ""]
    assert data.ratings.rating.tolist() == [4.5, 0.5]
    assert data.tags.tag.tolist() == ["très, bien!"]
    assert data.report == ReadReport(n_repaired_titles=1)


def _item(movie_id: int, title: str, *flags: int) -> str:
    return (
        f"{movie_id}|{title}|01-Jan-1995||http://x|"
        + "|".join(str(int(i in flags)) for i in range(19))
        + "\n"
    )


@pytest.mark.parametrize("with_genre_file", [True, False])
def test_ml_100k_flags_become_genres(write: Write, with_genre_file: bool) -> None:
    names = "".join(f"{name}|{number}\n" for number, name in enumerate(GENRES_100K)) + "\n"
    items = _item(1, "Toy Story (1995)", 3, 4, 5) + _item(267, "unknown", 0) + _item(2, "Été (1994)", 18)
    files: dict[str, str | bytes] = {"u.item": items.encode("latin-1"), "u.data": "196\t2\t3\t881250949\n"}
    if with_genre_file:
        files["u.genre"] = names
    data = read_dataset(write(files))
    assert data.movies.movie_id.tolist() == [1, 2, 267]
    assert data.movies.title.tolist() == ["Toy Story (1995)", "Été (1994)", "unknown"]
    assert data.movies.genres.tolist() == ["Animation|Children's|Comedy", "Western", ""]
    assert data.movies.year.isna().tolist() == [False, False, True]
    assert data.ratings.to_numpy().tolist() == [[196, 2, 3, 881250949]]
    assert data.report == ReadReport()


def test_the_last_of_duplicate_ratings_wins(write: Write) -> None:
    ratings = "userId,movieId,rating,timestamp\n1,1,1.0,30\n1,1,2.0,10\n1,2,1.0,5\n2,1,4.0,1\n1,2,3.0,5\n"
    data = read_dataset(write({"ratings.csv": ratings}))
    assert data.ratings.to_numpy().tolist() == [[1, 1, 1.0, 30], [1, 2, 3.0, 5], [2, 1, 4.0, 1]]
    assert data.report == ReadReport(n_duplicate_ratings=2)


def test_unlisted_movies_get_a_placeholder(write: Write) -> None:
    ratings = RATINGS_CSV + "2,77,3.0,5\n"
    data = read_dataset(
        write({"ratings.csv": ratings, "tags.csv": "userId,movieId,tag,timestamp\n1,50,new,5\n"})
    )
    assert data.movies.movie_id.tolist() == [1, 2, 50, 77]
    assert data.movies.title.tolist()[2:] == ["(untitled movie 50)", "(untitled movie 77)"]
    assert data.movies.genres.tolist()[2:] == ["", ""]
    assert data.movies.year.isna().tolist() == [False, False, True, True]
    assert data.report == ReadReport(n_unlisted_movies=2)


@pytest.mark.parametrize("content", ["", "\n\n", "HEADER"])
@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv"])
def test_no_movies_or_no_ratings_is_an_error(write: Write, name: str, content: str) -> None:
    header = (MOVIES_CSV if name == "movies.csv" else RATINGS_CSV).split("\n")[0]
    with pytest.raises(DataError, match=rf"{name} has no {name.removesuffix('.csv')}\b"):
        read_dataset(write({name: content.replace("HEADER", header)}))


@pytest.mark.parametrize("content", ["", "HEADER\n"])
def test_no_tags_and_no_links_are_fine(write: Write, content: str) -> None:
    data = read_dataset(
        write(
            {
                "tags.csv": content.replace("HEADER", "userId,movieId,tag,timestamp"),
                "links.csv": content.replace("HEADER", "movieId,imdbId,tmdbId"),
            }
        )
    )
    assert data.tags.empty
    assert data.movies.imdb_id.isna().all()


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [
        ("movies.csv", "movieId,name,genres", "title"),
        ("movies.csv", "movie,title,genres", "movieId"),
        ("ratings.csv", "person,movieId,rating,timestamp", "userId"),
        ("ratings.csv", "person,film,rating,timestamp", "userId, movieId"),
        ("tags.csv", "userId,movieId,text,timestamp", "tag"),
    ],
)
def test_a_missing_column_is_named(write: Write, name: str, header: str, missing: str) -> None:
    with pytest.raises(DataError, match=rf"{name} has no columns? {missing}: .*{header.replace(',', ', ')}"):
        read_dataset(write({name: header + "\n1,2,3\n"}))


def test_no_data_set_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS_CSV, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"movies\.csv and ratings\.csv .* u\.item and u\.data .*found only ratings\.csv"
    ):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="there is no directory"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file"):
        read_dataset(tmp_path / "ratings.csv")
    assert find_dataset(tmp_path / "nowhere") is None


def test_the_one_sub_directory_with_a_data_set_is_used(write: Write, tmp_path: Path) -> None:
    directory = write({})
    (tmp_path / "__MACOSX").mkdir()
    shutil.copytree(directory, tmp_path / ".half-written")
    assert find_dataset(tmp_path) == directory
    assert find_dataset(directory) == directory
    assert read_dataset(tmp_path).name == "ml-test"
    assert fingerprint(tmp_path) == fingerprint(directory)
    shutil.copytree(directory, tmp_path / "other")
    assert find_dataset(tmp_path) is None
    with pytest.raises(DataError, match="several data sets: ml-test, other"):
        read_dataset(tmp_path)


def test_the_fingerprint_follows_names_and_contents(write: Write, tmp_path: Path) -> None:
    directory = write({"links.csv": "movieId,imdbId,tmdbId\n"})
    first = fingerprint(directory)
    assert re.fullmatch("[0-9a-f]{16}", first)
    (directory / "genome-scores.csv").write_text("not read", encoding="utf-8")
    moved = shutil.copytree(directory, tmp_path / "elsewhere" / "copy")
    assert fingerprint(directory) == fingerprint(moved) == first
    (moved / "ratings.csv").write_text(RATINGS_CSV.replace("4.0", "4.5"), encoding="utf-8")
    assert fingerprint(moved) != first
    (directory / "links.csv").rename(directory / "tags.csv")
    assert fingerprint(directory) != first


def test_progress_reaches_the_size_of_the_ratings(write: Write) -> None:
    steps: list[Step] = []
    read_dataset(write({}), progress=steps.append)
    read = [step for step in steps if step.unit == "byte"]
    assert read[-1] == Step("reading ratings.csv", len(RATINGS_CSV), len(RATINGS_CSV), "byte")


def test_real_data_reads_without_complaint(movielens_dir: Path) -> None:
    data = read_dataset(movielens_dir)
    assert data.report.n_bad_rows == 0
    assert data.movies.movie_id.is_monotonic_increasing
    assert data.movies.movie_id.is_unique
    pairs = data.ratings.user_id.astype(np.int64) * 2**31 + data.ratings.movie_id
    assert pairs.is_monotonic_increasing
    assert pairs.is_unique
    assert set(data.ratings.movie_id) <= set(data.movies.movie_id)
    plain = pd.read_csv(movielens_dir / "ratings.csv")
    assert len(plain) == len(data.ratings) + data.report.n_duplicate_ratings
    assert data.ratings.rating.mean() == pytest.approx(plain.rating.mean(), abs=0.01)


def test_known_facts_of_ml_latest_small(movielens_dir: Path) -> None:
    if movielens_dir.name != "ml-latest-small":
        pytest.skip(f"{movielens_dir.name} is another data set")
    data = read_dataset(movielens_dir)
    if len(data.ratings) != 100_004:
        pytest.skip("another edition of ml-latest-small")
    assert data.report == ReadReport()
    assert (data.ratings.user_id.nunique(), len(data.movies), len(data.tags)) == (671, 9125, 1296)
    first = data.movies.iloc[0]
    assert first.title == "Toy Story (1995)"
    assert first.genres == "Adventure|Animation|Children|Comedy|Fantasy"
    assert (first.year, first.imdb_id, first.tmdb_id) == (1995, 114709, 862)
    assert data.ratings.iloc[0].tolist() == [1, 31, 2.5, 1260759144]


def test_empty_tags_are_left_out_and_counted(write: Write) -> None:
    tags = "userId,movieId,tag,timestamp\n1,1,,5\n1,1,  ,6\n1,2,fun,7\n"
    data = read_dataset(write({"tags.csv": tags}))
    assert data.tags["tag"].tolist() == ["fun"]
    assert data.report.n_empty_tags == 2


_UNTIDY = ["Drama|", "|", "Drama|Drama", " Drama ", "(No Genres Listed)", "War| Drama||War"]
_TIDY = ["Drama", "", "Drama", "Drama", "", "War|Drama"]


@pytest.mark.parametrize("name", ["movies.csv", "movies.dat"])
def test_untidy_genres_are_put_in_order(write: Write, name: str) -> None:
    separator, header = (",", "movieId,title,genres\n") if name == "movies.csv" else ("::", "")
    movies = "".join(
        separator.join([str(i), f"Film {i}", genres]) + "\n" for i, genres in enumerate(_UNTIDY, 1)
    )
    ratings = {"ratings.csv": RATINGS_CSV} if header else {"ratings.dat": "1::1::4::5\n"}
    data = read_dataset(write({name: header + movies, **ratings}))
    assert data.movies.genres.tolist() == _TIDY


def test_untidy_genre_names_of_ml_100k_are_put_in_order(write: Write) -> None:
    genres = "Unknown|0\n Drama|1\nDrama |2\n"
    items = "1|A (1990)||||1|0|0\n2|B (1990)||||0|1|1\n"
    data = read_dataset(write({"u.genre": genres, "u.item": items, "u.data": "1\t1\t3\t5\n"}))
    assert data.movies.genres.tolist() == ["", "Drama"]
