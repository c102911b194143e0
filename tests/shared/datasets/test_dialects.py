"""Tables as people have them: the same table in any form is the same data set, and doubts are asked for."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.kinds import MAX_ID
from shared.datasets import sources
from shared.datasets.formats import fingerprint, read_dataset
from shared.datasets.model import Dataset, ReadReport
from shared.datasets.options import ReadingOptions, Scale, TimeUnit
from shared.errors import BadRowsError, DataError

from .conftest import MOVIES_CSV, RATINGS_CSV, Write

_NS = 10**9


def _zoned(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def _naive(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


@dataclass(frozen=True)
class Form:
    """How a table is written."""

    separator: str
    header: tuple[str, str, str, str]
    whole: Callable[[int], object]
    factor: int
    time: Callable[[int], object]
    decimal: str
    encoding: str
    line_end: str
    suffix: str
    packed: str

    def write(self, directory: Path, ratings: pd.DataFrame, movies: pd.DataFrame) -> Path:
        """Write two files, and return what is to be imported."""
        user, movie, rating, time = self.header
        # Halves are written as such only where the scale has them.
        scaled = ratings["rating"] * self.factor
        values = scaled.astype(int) if self.factor > 1 else scaled
        table = pd.DataFrame(
            {
                time: ratings["timestamp"].map(self.time),
                "remark": "x",
                rating: values,
                movie: ratings["movieId"].map(self.whole),
                user: ratings["userId"].map(self.whole),
            }
        )
        listed = movies.assign(movieId=movies["movieId"].map(self.whole))
        listed.columns = pd.Index(["Movie_ID", "Title", "GENRES"])
        contents = {
            "ratings": self._bytes(table),
            "movies": self._bytes(listed),
        }
        directory.mkdir(parents=True)
        if self.packed == "zip":
            with zipfile.ZipFile(directory / "written.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for stem, content in contents.items():
                    archive.writestr(f"a folder/written/{stem}{self.suffix}", content)
                    archive.writestr(f"__MACOSX/written/._{stem}{self.suffix}", b"\0")
            return directory / "written.zip"
        for stem, content in contents.items():
            if self.packed == "gz":
                (directory / f"{stem}{self.suffix}.gz").write_bytes(gzip.compress(content))
            else:
                (directory / f"{stem}{self.suffix}").write_bytes(content)
        return directory

    def _bytes(self, table: pd.DataFrame) -> bytes:
        decimal = self.decimal if self.separator != "," else "."
        text = table.to_csv(
            sep=self.separator, index=False, decimal=decimal, lineterminator=self.line_end, encoding="utf-8"
        )
        return text.encode(self.encoding)


_forms = st.builds(
    Form,
    separator=st.sampled_from([",", ";", "\t", "|"]),
    header=st.tuples(
        st.sampled_from(["userId", "user_id", "User Id", "USERID", "user", "uid"]),
        st.sampled_from(["movieId", "MovieID", "movie-id", "item_id", "itemId", "movie", "item"]),
        st.sampled_from(["rating", "Rating", "score", "stars"]),
        st.sampled_from(["timestamp", "Time_Stamp", "time", "date", "rated_at", "ratedAt"]),
    ),
    whole=st.sampled_from([int, float, lambda number: f"{number:.18e}"]),
    factor=st.sampled_from([1, 2, 20]),
    time=st.sampled_from(
        [
            int,
            float,
            lambda seconds: seconds * 1000 + 999,
            lambda seconds: seconds * 10**6,
            lambda seconds: seconds * _NS + 1,
            _zoned,
            _naive,
        ]
    ),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from([".csv", ".tsv", ".txt", ".CSV"]),
    packed=st.sampled_from(["", "gz", "zip"]),
)
_ids = st.integers(1, MAX_ID)
_tables = st.dictionaries(
    st.tuples(_ids, _ids),
    # Times are from when there are ratings; half of the stars, and one more, are above the middle.
    st.tuples(st.integers(6, 10), st.integers(800_000_000, 4_100_000_000)),
    min_size=1,
    max_size=8,
)
_titles = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)


@given(form=_forms, table=_tables, lows=st.lists(st.integers(1, 10), max_size=4), title=_titles)
def test_the_same_table_in_any_form_is_the_same_data_set(
    tmp_path_factory: pytest.TempPathFactory,
    form: Form,
    table: dict[tuple[int, int], tuple[int, int]],
    lows: list[int],
    title: str,
) -> None:
    directory = tmp_path_factory.mktemp("forms")
    rows = [(user, movie, halves / 2, time) for (user, movie), (halves, time) in table.items()]
    # Fewer than the high ones, so that most ratings tell the scale.
    rows += [(1, 5_000_000 + i, halves / 2, 10**9) for i, halves in enumerate(lows[: len(rows) - 1])]
    ratings = pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])
    ids = ratings["movieId"].unique()
    movies = pd.DataFrame({"movieId": ids, "title": title, "genres": "Drama|War"})
    (directory / "plain").mkdir()
    ratings.to_csv(directory / "plain" / "ratings.csv", index=False)
    movies.to_csv(directory / "plain" / "movies.csv", index=False)
    plain = read_dataset(directory / "plain")
    assert plain.report == ReadReport()
    other = read_dataset(form.write(directory / "written", ratings, movies))
    _assert_equal(other, plain)
    assert other.report.n_bad_rows == 0


def _assert_equal(one: Dataset, other: Dataset) -> None:
    pd.testing.assert_frame_equal(one.movies, other.movies)
    pd.testing.assert_frame_equal(one.ratings, other.ratings)
    pd.testing.assert_frame_equal(one.tags, other.tags)


def _ratings(values: list[str], times: list[str] | None = None, header: str = "") -> str:
    """Write one rating of a user a line; without times there is no column for them."""
    lines = [header or ("userId,movieId,rating,timestamp" if times else "userId,movieId,rating")]
    for user, value in enumerate(values, start=1):
        lines.append(f"{user},1,{value}" + (f",{times[(user - 1) % len(times)]}" if times else ""))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("ratings", "options", "stars", "note"),
    [
        # Whole numbers up to five are MovieLens' own.
        (["1", "2", "5"], {}, [1, 2, 5], ""),
        (["0.5", "5"], {}, [0.5, 5], ""),
        (["1", "7", "10"], {}, [0.5, 3.5, 5], "scale 0-10 halved"),
        (["0.4", "7", "10"], {}, [0.5, 3.5, 5], "scale 0-10 halved"),
        (["5", "73", "100"], {}, [0.5, 3.65, 5], "scale 0-100 divided by 20, at least 0.5"),
        # Said by the user.
        (["0", "3", "5"], {"scale": Scale.ZERO_FIVE}, [0.5, 3, 5], "scale 0-5 0 counts as 0.5"),
        (["0", "3", "5"], {"scale": Scale.ZERO_TEN}, [0.5, 1.5, 2.5], "scale 0-10 halved"),
        (["1", "3", "5"], {"scale": Scale.TEN}, [0.5, 1.5, 2.5], "scale 1-10 halved"),
        (["0", "50"], {"scale": Scale.ZERO_HUNDRED}, [0.5, 2.5], "scale 0-100 divided by 20, at least 0.5"),
    ],
)
def test_scales(
    write: Write, ratings: list[str], options: dict[str, Any], stars: list[float], note: str
) -> None:
    data = read_dataset(write({"ratings.csv": _ratings(ratings, ["5"])}), options=ReadingOptions(**options))
    np.testing.assert_array_equal(data.ratings.rating, np.array(stars, dtype=np.float32))
    assert data.report.understood == ([f"ratings.csv: {note}"] if note else [])


@pytest.mark.parametrize(
    ("ratings", "readings"),
    [
        (["4"] * 9 + ["7"], "1 of 10 ratings are above 5.*--scale 1-5 or --scale 0-10"),
        (["4"] * 50 + ["7"] * 50, "50 of 100 .*--scale 1-5 or --scale 0-10"),
        (["7"] * 9 + ["70"], "1 of 10 ratings are above 10.*--scale 0-10 or --scale 0-100"),
        (["0"] + ["7"] * 999, r"1 of 1,000 ratings are 0.*--scale 0-10 \(the lowest\) or --scale 1-10"),
        (["0", "70", "80"], r"1 of 3 ratings are 0.*--scale 0-100 \(the lowest\) or --scale 1-100"),
        (["0", "4", "5"], r"1 of 3 ratings are 0.*--scale 0-5 \(the lowest\) or --scale 1-5"),
    ],
)
def test_a_doubt_about_the_scale_is_asked_for(write: Write, ratings: list[str], readings: str) -> None:
    directory = write({"ratings.csv": _ratings(ratings, ["5"])})
    for skip in (False, True):
        with pytest.raises(DataError, match=rf"^ratings\.csv: {readings}") as caught:
            read_dataset(directory, skip_bad_rows=skip)
        assert not isinstance(caught.value, BadRowsError)


@pytest.mark.parametrize(
    ("ratings", "scale", "reason"),
    [
        (["4"] * 99 + ["7"], None, "rating is not between 0.5 and 5.0: '7'"),
        (["4"] * 99 + ["0"], None, "rating is not between 0.5 and 5.0: '0'"),
        (["4"] * 9 + ["7"], Scale.FIVE, "rating is not between 0.5 and 5.0: '7'"),
        (["4"] * 9 + ["0"], Scale.TEN, "rating is not between 1.0 and 10.0: '0'"),
        (["7"] * 99 + ["70"], None, "rating is not between 0.0 and 10.0: '70'"),
        (["70"] * 99 + ["101"], None, "rating is not between 0.0 and 100.0: '101'"),
    ],
)
def test_few_odd_ratings_are_bad_rows(
    write: Write, ratings: list[str], scale: Scale | None, reason: str
) -> None:
    directory = write({"ratings.csv": _ratings(ratings, ["5"])})
    with pytest.raises(BadRowsError) as caught:
        read_dataset(directory, options=ReadingOptions(scale=scale))
    assert [str(row) for row in caught.value.rows] == [f"ratings.csv:{len(ratings) + 1}: {reason}"]
    data = read_dataset(directory, skip_bad_rows=True, options=ReadingOptions(scale=scale))
    assert len(data.ratings) == len(ratings) - 1
    assert data.report.n_bad_rows == 1


_TIME = 1_112_486_027


@pytest.mark.parametrize(
    ("time", "note"),
    [
        (f"{_TIME}", ""),
        (f"{_TIME}.0", "whole numbers as 1.0"),
        (f"{_TIME}123", "timestamps in milliseconds"),
        (f"{_TIME}123456", "timestamps in microseconds"),
        (f"{_TIME}123456789", "timestamps in nanoseconds"),
        ("2005-04-02 23:53:47", "timestamps are dates, UTC where no zone is named"),
        ("2005-04-02T23:53:47Z", "timestamps are dates, UTC where no zone is named"),
        ("2005-04-03T01:53:47.5+02:00", "timestamps are dates, UTC where no zone is named"),
    ],
)
@pytest.mark.parametrize("name", ["ratings.csv", "tags.csv"])
def test_times(write: Write, name: str, time: str, note: str) -> None:
    tags = f"userId,movieId,tag,timestamp\n1,1,fun,{time}\n"
    data = read_dataset(write({name: tags if name == "tags.csv" else _ratings(["4", "3"], [time])}))
    read = data.tags if name == "tags.csv" else data.ratings
    assert set(read.timestamp) == {_TIME}
    # Tags are few: how their whole numbers are written makes no difference.
    said = "" if name == "tags.csv" and note.startswith("whole") else note
    assert data.report.understood == ([f"{name}: {said}"] if said else [])


def test_a_day_begins_at_midnight_utc(write: Write) -> None:
    data = read_dataset(write({"ratings.csv": _ratings(["4"], ["2005-04-02"])}))
    assert data.ratings.timestamp.tolist() == [1_112_400_000]


def test_without_times_the_lines_are_in_order(write: Write) -> None:
    ratings = "userId,movieId,rating\n2,1,4\n1,2,3\n1,1,5\n1,2,4\n"
    tags = "userId,movieId,tag\n1,1,b\n1,1,a\n"
    directory = write({"ratings.csv": ratings, "tags.csv": tags})
    data = read_dataset(directory)
    # The last one of a pair counts.
    assert data.ratings.to_numpy().tolist() == [[1, 1, 5, 2], [1, 2, 4, 3], [2, 1, 4, 0]]
    assert data.tags.tag.tolist() == ["b", "a"]
    assert data.report.understood == [
        "ratings.csv: no timestamps: order of lines",
        "tags.csv: no timestamps: order of lines",
    ]
    write({"ratings.csv": "userId,movieId,rating,timestamp\n2,1,4,?\n1,2,3,\n1,1,5,5\n1,2,4,1\n"})
    _assert_equal(read_dataset(directory, options=ReadingOptions(timestamps=TimeUnit.NONE)), data)


def test_ml_100k_and_ml_1m_without_times(write: Write) -> None:
    data = read_dataset(write({"u.item": "1|A (1990)|||" + "|0" * 19 + "\n", "u.data": "1\t1\t3\n2\t1\t4\n"}))
    assert data.ratings.to_numpy().tolist() == [[1, 1, 3, 0], [2, 1, 4, 1]]
    assert data.report.understood == ["u.data: no timestamps: order of lines"]


@pytest.mark.parametrize(
    "times",
    [
        [str(_TIME), f"{_TIME}000"],
        [f"{_TIME}000", f"{_TIME}000000"],
        [f"{_TIME}000", "0"],
        ["9" * 18, "9" * 12],
    ],
)
def test_a_doubt_about_the_unit_of_time_is_asked_for(write: Write, times: list[str]) -> None:
    directory = write({"ratings.csv": _ratings(["4"] * 10, times)})
    with pytest.raises(DataError, match=r"^ratings\.csv: .*after the year 2100.*--timestamps s, ms,"):
        read_dataset(directory, skip_bad_rows=True)
    data = read_dataset(
        directory, skip_bad_rows=True, options=ReadingOptions(timestamps=TimeUnit.MILLISECONDS)
    )
    assert data.ratings.timestamp.max() <= _TIME


def test_few_odd_times_are_bad_rows(write: Write) -> None:
    directory = write({"ratings.csv": _ratings(["4"] * 100, [str(_TIME)] * 99 + [f"{_TIME}000"])})
    with pytest.raises(BadRowsError, match=r"ratings\.csv:101: timestamp is after the year 2100: 1"):
        read_dataset(directory)


def test_two_columns_that_may_be_the_same_are_asked_for(write: Write) -> None:
    for header, names in (
        ("userId,movie,item,rating", "movie, item"),
        ("user_id,USERID,movieId,rating", "user_id, USERID"),
        ("userId,userId,movieId,rating", "userId, userId"),
        ("userId,movieId,rating,date,time", "date, time"),
    ):
        with pytest.raises(DataError, match=f"several columns that may be .*: {names}. Name the right one"):
            read_dataset(write({"ratings.csv": header + "\n"}))
    # MovieLens' own name is the right one.
    ratings = "user,userId,movie,movie_id,rating,date,timestamp\n8,1,A,2,4,never,5\n"
    assert read_dataset(write({"ratings.csv": ratings})).ratings.to_numpy().tolist() == [[1, 2, 4, 5]]


def test_the_report_says_what_was_understood(write: Write) -> None:
    directory = write(
        {
            "ratings.csv": "user_id;MovieID;rating\n1;1;8\n1;2;7,5\n",
            "movies.csv": "movie_id\ttitle\tgenres\n1\tA (1990)\tDrama\n2\tB (1991)\tWar|\n".encode("utf-16"),
        }
    )
    data = read_dataset(directory)
    assert data.report.understood == [
        "movies.csv: UTF-16, separator tab, columns movie_id as movieId",
        "ratings.csv: separator ;, columns user_id as userId, MovieID as movieId, decimal comma, "
        "scale 0-10 halved, no timestamps: order of lines",
    ]
    assert data.ratings.rating.tolist() == [4, 3.75]
    assert data.movies.genres.tolist() == ["Drama", "War"]


def test_bad_rows_of_other_forms_have_their_lines(write: Write) -> None:
    ratings = "user;movie;score;date\n1;1;8;2005-04-02\nx;2;7;2005-04-02\n\n1;2;11;2005-04-02\n"
    ratings += "2;1;9;yesterday\n" + "".join(f"{user};1;7;2005-04-02\n" for user in range(3, 203))
    directory = write({"ratings.csv": b""})
    (directory / "ratings.csv").unlink()
    (directory / "ratings.csv.gz").write_bytes(gzip.compress(ratings.encode("utf-16")))
    data = read_dataset(directory, skip_bad_rows=True)
    assert [str(row) for row in data.report.bad_rows] == [
        "ratings.csv.gz:3: userId is not a whole number: 'x'",
        "ratings.csv.gz:5: rating is not between 0.0 and 10.0: '11'",
        "ratings.csv.gz:6: timestamp is not a date of ISO 8601: 'yesterday'",
    ]
    assert len(data.ratings) == 201


def test_options_are_part_of_the_fingerprint_and_packing_is_not(write: Write, tmp_path: Path) -> None:
    directory = write({})
    plain = fingerprint(directory)
    options = [ReadingOptions(scale) for scale in Scale] + [ReadingOptions(None, unit) for unit in TimeUnit]
    assert len({plain, *(fingerprint(directory, option) for option in options)}) == 12
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(directory / "movies.csv", "deep/down/movies.csv")
        archive.writestr("deep/down/ratings.csv.gz", gzip.compress(RATINGS_CSV.encode()))
    assert fingerprint(tmp_path / "packed.zip") == plain
    data = read_dataset(tmp_path / "packed.zip")
    assert data.name == "down"
    _assert_equal(data, read_dataset(directory))
    write({"ratings.csv": RATINGS_CSV.replace("4.0", "4.5")})
    assert fingerprint(directory) != plain


def test_the_fingerprint_of_plain_files_is_what_it_was(write: Write) -> None:
    # A database that was filled by an earlier release must not be filled again.
    assert fingerprint(write({})) == "2142925c87619c30"


def _zip(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


_MEMBERS: dict[str, str | bytes] = {"movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV}
_IN_A, _IN_B = ({f"{folder}/{name}": content for name, content in _MEMBERS.items()} for folder in "ab")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_zip(_IN_A | _IN_B), "holds several data sets: a, b"),
        (_zip({"readme.txt": "x"}), "no data set in .*in any of its folders"),
        (_zip(_MEMBERS | {"../outside": "x"}), "names a path outside itself"),
        (_zip(_MEMBERS | {"links.csv.gz": b"no gzip"}), "links.csv.gz in .* cannot be unpacked"),
        (_zip(_MEMBERS)[:-40], "is a file, and no zip"),
        (_zip(_MEMBERS).replace(RATINGS_CSV.encode()[:2], b"xx"), ""),
        (b"PK\3\4", "is a file, and no zip"),
    ],
)
def test_archives_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "some.zip").write_bytes(content)
    if not message:
        damaged = bytearray(content)
        damaged[len("PK") + 60] ^= 0xFF
        (tmp_path / "some.zip").write_bytes(damaged)
        message = "cannot be unpacked"
    with pytest.raises(DataError, match=message):
        fingerprint(tmp_path / "some.zip")


def test_a_truncated_gzip_is_an_error_of_ours(write: Write) -> None:
    directory = write({})
    (directory / "ratings.csv").unlink()
    noise = "".join(f"{random.Random(i).randint(1, 10**6)},1,4,5\n" for i in range(1000))
    packed = gzip.compress(RATINGS_CSV.encode() + noise.encode())
    (directory / "ratings.csv.gz").write_bytes(packed[: len(packed) // 2])
    for read in (read_dataset, fingerprint):
        with pytest.raises(DataError, match=r"ratings\.csv\.gz cannot be unpacked: .*Fetch or pack it again"):
            read(directory)


@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv"])
@pytest.mark.parametrize("packed", ["gz", "zip"])
def test_an_archive_without_end_is_not_read_to_its_end(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, packed: str
) -> None:
    directory = write({})
    bomb = b"userId,movieId,rating,title,genres\n" + b"0" * (8 << 20)
    if packed == "gz":
        (directory / name).unlink()
        (directory / f"{name}.gz").write_bytes(gzip.compress(bomb))
    else:
        (directory / "bomb.zip").write_bytes(_zip(_MEMBERS | {name: bomb}))
        directory = directory / "bomb.zip"
    monkeypatch.setattr(sources.InputFile.open, "__defaults__", (4 << 20,))
    monkeypatch.setattr("shared.datasets.records.MAX_UNPACKED_TEXT", 4 << 20)
    with pytest.raises(DataError, match=rf"{name}(\.gz)? unpacks to more than 4 MB. It is not used"):
        read_dataset(directory)


def test_of_several_files_that_may_be_one_movielens_own_is_read(write: Write) -> None:
    directory = write({"ratings.csv.gz": b"junk", "rating.csv": "junk", "tags.tsv": "", "Tags.csv": ""})
    with pytest.raises(DataError, match=r"several files that may be tags\.csv: Tags\.csv, tags\.tsv\."):
        read_dataset(directory)
    (directory / "Tags.csv").unlink()
    assert len(read_dataset(directory).ratings) == 3


def test_thousands_are_not_taken_for_decimals(write: Write) -> None:
    rows = "1,0;1,0;3,125;5\n1,000;1,0;3,5;5\n2,0;1,000;3,5;5\n"
    data = read_dataset(
        write({"ratings.csv": f"userId;movieId;rating;timestamp\n{rows}"}), skip_bad_rows=True
    )
    assert data.ratings.to_numpy().tolist() == [[1, 1, 3.125, 5]]
    assert [row.reason for row in data.report.bad_rows] == [
        "userId is not a whole number: '1,000'",
        "movieId is not a whole number: '1,000'",
    ]
