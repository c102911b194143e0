import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import MAX_ID
from shared.datasets import ratings_files
from shared.datasets.fields import MAX_TIMESTAMP, BadRows
from shared.datasets.formats import read_dataset
from shared.datasets.ratings_files import RatingFormat, parse_block, parse_lines, read_ratings
from shared.progress import silent

from .conftest import RATINGS_CSV, Write

_ids = st.integers(1, MAX_ID)
_good_rows = st.tuples(
    _ids,
    _ids,
    st.floats(0.5, 5, width=32).map(lambda rating: round(rating, 3)),
    st.integers(0, MAX_TIMESTAMP),
)
# What a file may hold that is nearly, or not at all, a row of ratings.
_odd_fields = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "1",
            " 1 ",
            "+1",
            "-0",
            "01",
            "1.0",
            "1e0",
            "0x1",
            "nan",
            "inf",
            '"1"',
            '"1',
            '1"2',
            '"1"2',
            "1_0",
        ]
    ),
    st.sampled_from(
        ["\0", "٣", "é", "5.", ".5", "1\r2", "1e400", "99999999999999999999", "0.5", "0.49", "5.01", "1\t"]
    ),
    st.integers(-5, 2**33).map(str),
)
_odd_rows = st.lists(_odd_fields, min_size=3, max_size=5)
_almost_good_rows = st.tuples(_good_rows, st.integers(0, 3), _odd_fields).map(
    lambda drawn: [drawn[2] if i == drawn[1] else str(field) for i, field in enumerate(drawn[0])]
)


@pytest.mark.parametrize("separator", [",", "::", "\t"])
@given(
    rows=st.lists(_odd_rows | _almost_good_rows, min_size=1, max_size=3),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_fast_path_accepts_the_slow_path_reads_the_same(
    separator: str, rows: list[list[str]], line_end: str
) -> None:
    block = "".join(separator.join(row) + line_end for row in rows).encode()
    form = RatingFormat(separator)
    fast = parse_block(block, form)
    bad = BadRows()
    slow = parse_lines(block, form, "ratings", 1, bad)
    if fast is not None:
        assert bad.total == 0
        assert fast.combine_chunks().equals(slow.combine_chunks())


@pytest.mark.parametrize("block", [b"1,1,4,5\r2,1,4,5\n", b"0x1,1,4,5\n", b'"1"2,1,4,5\n', b"1,1,nan,5\n"])
def test_what_arrow_would_misread_goes_the_slow_way(block: bytes) -> None:
    assert parse_block(block, RatingFormat(",")) is None


@given(rows=st.lists(_good_rows, min_size=1, max_size=20), separator=st.sampled_from([",", "::", "\t"]))
def test_good_rows_take_the_fast_path(rows: list[tuple[int, int, float, int]], separator: str) -> None:
    block = "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()
    table = parse_block(block, RatingFormat(separator))
    assert table is not None
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@given(
    rows=st.dictionaries(st.tuples(_ids, _ids), st.tuples(st.integers(1, 10), st.integers(0, MAX_TIMESTAMP)))
)
def test_ratings_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[int, int], tuple[int, int]]
) -> None:
    rows = rows or {(1, 1): (1, 1)}
    directory = tmp_path_factory.mktemp("written")
    (directory / "movies.csv").write_text("movieId,title,genres\n1,A,Drama\n", encoding="utf-8")
    written = pd.DataFrame(
        [(user, movie, halves / 2, time) for (user, movie), (halves, time) in rows.items()],
        columns=["userId", "movieId", "rating", "timestamp"],
    )
    written.to_csv(directory / "ratings.csv", index=False)
    data = read_dataset(directory)
    assert data.ratings.to_numpy().tolist() == written.sort_values(["userId", "movieId"]).to_numpy().tolist()
    assert data.report.n_unlisted_movies == len(set(written.movieId) - {1})


_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=20
).filter(lambda text: bool(text.strip()))


@given(titles=st.lists(_texts, min_size=1, max_size=8), tags=st.lists(_texts, max_size=8))
def test_texts_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], tags: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("written")
    (directory / "ratings.csv").write_text(RATINGS_CSV, encoding="utf-8")
    movies = pd.DataFrame({"movieId": range(1, len(titles) + 1), "title": titles, "genres": "Drama|War"})
    movies.to_csv(directory / "movies.csv", index=False, lineterminator="\n")
    written = pd.DataFrame({"userId": 1, "movieId": 1, "tag": tags, "timestamp": range(len(tags))})
    written.to_csv(directory / "tags.csv", index=False, lineterminator="\n")
    data = read_dataset(directory)
    assert data.movies.title.tolist()[: len(titles)] == [title.strip() for title in titles]
    assert data.tags.tag.tolist() == [tag.strip() for tag in tags]


def test_line_numbers_hold_across_blocks(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings_files, "_BLOCK", 64)
    rows = [f"{user},1,3.5,964982703" for user in range(1, 101)]
    rows[40] = "41,1,bad,964982703"
    rows[90] = ""
    rows[98] = "99,1,3.5,never"
    directory = write({"ratings.csv": "userId,movieId,rating,timestamp\n" + "\n".join(rows)})
    bad = BadRows()
    columns = read_ratings(directory / "ratings.csv", ",", bad, silent)
    assert [row.line for row in bad.rows] == [42, 100]
    assert len(columns.user_ids) == 97


def test_columns_may_be_written_to(write: Write) -> None:
    columns = read_ratings(write({}) / "ratings.csv", ",", BadRows(), silent)
    for array in (columns.user_ids, columns.movie_ids, columns.ratings, columns.timestamps):
        array[0] = 1


def test_a_million_ratings_read_in_seconds(tmp_path: Path) -> None:
    block = "".join(f"{n // 100 + 1},{n % 100 + 1},3.5,964982703\n" for n in range(100_000)).encode()
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"userId,movieId,rating,timestamp\n" + block * 10)
    began = time.process_time()
    assert len(read_ratings(path, ",", BadRows(), silent).user_ids) == 1_000_000
    # 0.3 s of CPU where this was written; the line-by-line path takes 2 s and more.
    assert time.process_time() - began < 1.5
