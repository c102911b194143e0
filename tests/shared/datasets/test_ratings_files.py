import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.kinds import MAX_ID
from shared.datasets import ratings_files
from shared.datasets.dialects import Meaning
from shared.datasets.fields import BadRows
from shared.datasets.formats import read_dataset
from shared.datasets.options import MAX_TIMESTAMP, Scale, TimeUnit
from shared.datasets.ratings_blocks import RatingFormat, parse_block, parse_lines
from shared.datasets.ratings_files import read_ratings
from shared.datasets.sources import InputFile
from shared.progress import silent

from .conftest import RATINGS_CSV, Write

_ids = st.integers(1, MAX_ID)


def _file(directory: Path) -> InputFile:
    return InputFile("ratings.csv", directory / "ratings.csv")


_good_rows = st.tuples(
    _ids,
    _ids,
    st.floats(0.5, 5, width=32).map(lambda rating: round(rating, 3)),
    st.integers(0, MAX_TIMESTAMP),
)
_ODD_DATES = """2005-04-02|2005-04-02 23:53:47|2005-04-02T23:53:47|2005-04-02 23:53|2005-04-02T23|2005-04-02Z
2005-04-02T23:53:47Z|2005-04-02 23:53:47+02:00|2005-04-02T23:53:47.123456Z|2005-04-02 23:53:47.9
2005-04-02 23:53:47.123456789|2005-04-02 23:53:47,5|2005-04-02 23:53:47 +0200|2005-04-02 23:53:47-02
1970-01-01T01:00+02:00| 2005-04-02 |"2005-04-02"|2005-02-30|2005-04-02 24:00:00|2005-04-02T23:53:60
20050402|2005-W14-6|0001-01-01|9999-12-31|2101-01-01|1969-12-31 23:59:59.9|2100-12-31 23:59:59.9"""
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
    st.sampled_from(
        ["1e3", "1.50", "9007199254740993", "9007199254740993.0", "1,5", "1,0", "1,000", "1.", "-1.0", "3e9"]
    ),
    st.sampled_from(_ODD_DATES.replace("\n", "|").split("|")),
    st.integers(-5, 2**33).map(str),
    st.integers(-(2**64), 2**64).map(str),
)
_odd_rows = st.lists(_odd_fields, min_size=3, max_size=5)
_dates = st.datetimes(datetime(1969, 1, 1), datetime(2102, 1, 1)).map(str)
_almost_good_rows = st.tuples(_good_rows, st.integers(0, 3), _odd_fields).map(
    lambda drawn: [drawn[2] if i == drawn[1] else str(field) for i, field in enumerate(drawn[0])]
)
_dated_rows = st.tuples(_good_rows, st.one_of(_dates, _dates.map(lambda date: date + "Z"))).map(
    lambda drawn: [*map(str, drawn[0][:3]), drawn[1]]
)


_CSV = RatingFormat(",", quoted=True)
_FORMS = {
    "csv": _CSV,
    "dat": RatingFormat("::"),
    "100k": RatingFormat("\t"),
    "decimals": replace(_CSV, decimal_ids=True, decimal_times=True),
    "decimal comma": replace(_CSV, separator=";", decimal_ids=True, decimal_comma=True),
    "bars": replace(_CSV, separator="|"),
    "dates": replace(_CSV, dates=True),
    "dates with zones": replace(_CSV, separator="\t", dates=True, zoned=True),
    "no times": replace(_CSV, positions=(0, 1, 2, None), n_fields=3),
}

PLAIN = Meaning(Scale.FIVE, TimeUnit.SECONDS)
_MEANINGS = [PLAIN, Meaning(None, None), Meaning(Scale.ZERO_TEN, TimeUnit.NANOSECONDS)]


@pytest.mark.parametrize("form", _FORMS.values(), ids=_FORMS)
@pytest.mark.parametrize("meaning", _MEANINGS)
@given(
    rows=st.lists(_odd_rows | _almost_good_rows | _dated_rows, min_size=1, max_size=3),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_fast_path_accepts_the_slow_path_reads_the_same(
    form: RatingFormat, meaning: Meaning, rows: list[list[str]], line_end: str
) -> None:
    block = "".join(form.separator.join(row[: form.n_fields]) + line_end for row in rows).encode()
    fast = parse_block(block, form, meaning)
    bad = BadRows()
    slow = parse_lines(block, form, meaning, "ratings", 1, bad)
    if fast is not None:
        assert bad.total == 0
        assert fast.combine_chunks().equals(slow.combine_chunks())


@pytest.mark.parametrize("block", [b"1,1,4,5\r2,1,4,5\n", b"0x1,1,4,5\n", b'"1"2,1,4,5\n', b"1,1,nan,5\n"])
def test_what_arrow_would_misread_goes_the_slow_way(block: bytes) -> None:
    assert parse_block(block, _CSV, PLAIN) is None


def test_the_last_moment_before_1970_is_not_the_first_one_after() -> None:
    assert parse_block(b"1,1,4,1969-12-31 23:59:59.9\n", _FORMS["dates"], PLAIN) is None


@given(rows=st.lists(_good_rows, min_size=1, max_size=20), separator=st.sampled_from([",", "::", "\t"]))
def test_good_rows_take_the_fast_path(rows: list[tuple[int, int, float, int]], separator: str) -> None:
    block = "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()
    table = parse_block(block, RatingFormat(separator), PLAIN)
    assert table is not None
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("csv", '"7",8,"3.5",1112486027'),
        ("decimals", "7.0,8.0,3.5,1112486027.0"),
        ("decimals", "7,8e0,3.5,1.112486027e9"),
        ("decimal comma", "7;8,0;3,5;1112486027"),
        ("bars", "7|8|3.5|1112486027"),
        ("dates", "7,8,3.5,2005-04-02 23:53:47"),
        ("dates", '7,8,3.5,"2005-04-02T23:53:47.25"'),
        ("dates with zones", "7\t8\t3.5\t2005-04-03T01:53:47+02:00"),
    ],
)
def test_what_other_programs_write_takes_the_fast_path(form: str, row: str) -> None:
    table = parse_block(f"{row}\n".encode(), _FORMS[form], PLAIN)
    assert table is not None
    assert [tuple(row.values()) for row in table.to_pylist()] == [(7, 8, 3.5, 1112486027)]


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
    columns = read_ratings(_file(directory), None, bad, silent)
    assert [row.line for row in bad.rows] == [42, 100]
    assert len(columns.user_ids) == 97


def test_columns_may_be_written_to(write: Write) -> None:
    columns = read_ratings(_file(write({})), None, BadRows(), silent)
    for array in (columns.user_ids, columns.movie_ids, columns.ratings, columns.timestamps):
        array[0] = 1


def test_a_million_ratings_read_in_seconds(tmp_path: Path) -> None:
    block = "".join(f"{n // 100 + 1},{n % 100 + 1},3.5,964982703\n" for n in range(100_000)).encode()
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"userId,movieId,rating,timestamp\n" + block * 10)
    began = time.process_time()
    assert len(read_ratings(_file(tmp_path), None, BadRows(), silent).user_ids) == 1_000_000
    # 0.3 s of CPU where this was written; the line-by-line path takes 2 s and more.
    assert time.process_time() - began < 1.5
