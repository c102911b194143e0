from pathlib import Path

import pytest

from shared.datasets.formats import read_dataset
from shared.errors import BadRow, BadRowsError, DataError

from .conftest import MOVIES_CSV, RATINGS_CSV, Write

_TAGS = "userId,movieId,tag,timestamp\n"


def _bad_ratings() -> list[tuple[str, str]]:
    return [
        ("x,1,4.0,1", "userId is not a whole number: 'x'"),
        ("1.5,1,4.0,1", "userId is not a whole number: '1.5'"),
        ("1e99,1,4.0,1", "userId is not a whole number: '1e99'"),
        ("3e9,1,4.0,1", "userId is not between 1 and 2147483647: 3000000000"),
        (",1,4.0,1", "userId is not a whole number: ''"),
        ("0x1A,1,4.0,1", "userId is not a whole number: '0x1A'"),
        ("0,1,4.0,1", "userId is not between 1 and 2147483647: 0"),
        ("-3,1,4.0,1", "userId is not between 1 and 2147483647: -3"),
        ("1,2147483648,4.0,1", "movieId is not between 1 and 2147483647: 2147483648"),
        ("1,99999999999999999999,4.0,1", "movieId is not a whole number: '99999999999999999999'"),
        ("1,1,good,1", "rating is not a number: 'good'"),
        ("1,1,,1", "rating is not a number: ''"),
        ("1,1,nan,1", "rating is not finite: 'nan'"),
        ("1,1,inf,1", "rating is not finite: 'inf'"),
        ("1,1,0.0,1", "rating is not between 0.5 and 5.0: '0.0'"),
        ("1,1,5.5,1", "rating is not between 0.5 and 5.0: '5.5'"),
        ("1,1,-1,1", "rating is not between 0.5 and 5.0: '-1'"),
        ("1,1,4.0,-1", "timestamp is negative: -1"),
        ("1,1,4.0,1.5", "timestamp is not a whole number: '1.5'"),
        ("1,1,4.0,9223372036854775808", "timestamp is not a whole number: '9223372036854775808'"),
        (
            "1,1,4.0,9223372036854775807",
            "timestamp is after the year 2100: 9223372036854775807 (seconds are expected)",
        ),
        ("1,1,7,1", "rating is not between 0.5 and 5.0: '7'"),
        ("1,1,1e400,1", "rating is not finite: '1e400'"),
        ("1,1,4.0,964982703000", "timestamp is after the year 2100: 964982703000 (seconds are expected)"),
        ("1,1,4.0", "3 fields instead of 4"),
        ("1,1,4.0,1,9", "5 fields instead of 4"),
        ("1,1,4\0.0,1", "rating is not a number: '4\\x00.0'"),
        ('"1,1,4.0,1', "not CSV: unexpected end of data"),
        ("\x89PNG\x1a", "1 fields instead of 4"),
    ]


@pytest.mark.parametrize(("row", "reason"), _bad_ratings())
def test_a_bad_rating_is_found_and_skipped(write: Write, row: str, reason: str) -> None:
    # One bad number among few good ones would be a doubt about the scale, or the unit of time.
    others = "".join(f"{user},1,2.0,5\n" for user in range(3, 203))
    directory = write({"ratings.csv": (RATINGS_CSV + "\n" + row + "\n" + others).encode("latin-1")})
    with pytest.raises(BadRowsError) as caught:
        read_dataset(directory)
    assert caught.value.rows == [BadRow("ratings.csv", 6, reason)]
    assert caught.value.total == 1
    data = read_dataset(directory, skip_bad_rows=True)
    assert data.ratings.user_id.tolist() == [1, 1, 2, *range(3, 203)]
    assert data.report.bad_rows == [BadRow("ratings.csv", 6, reason)]
    assert data.report.n_bad_rows == 1


@pytest.mark.parametrize(
    ("name", "separator"), [("ratings.dat", "::"), ("u.data", "\t")], ids=["ML-1M", "ML-100k"]
)
def test_other_formats_check_the_same(write: Write, name: str, separator: str) -> None:
    rows = [
        ("1", "1", "4", "5"),
        ("1", "2", "6", "5"),
        ("1", "2", "4"),
        ("1,1", "2", "4", "5"),
        ("2", "1", "3", "5"),
        *((str(user), "1", "3", "5") for user in range(3, 203)),
    ]
    ratings = "".join(separator.join(row) + "\n" for row in rows)
    movies = {"ratings.dat": ("movies.dat", "1::A (1990)::Drama\n2::B (1990)::Drama\n")}.get(
        name, ("u.item", "".join(f"{i}|A (1990)|||" + "|0" * 19 + "\n" for i in (1, 2)))
    )
    data = read_dataset(write({movies[0]: movies[1], name: ratings}), skip_bad_rows=True)
    assert [row.line for row in data.report.bad_rows] == [2, 3, 4]
    assert data.ratings.user_id.tolist() == [1, 2, *range(3, 203)]


def test_a_tab_does_not_pass_for_two_colons(write: Write) -> None:
    directory = write({"movies.dat": "1::A::Drama\n", "ratings.dat": "1::1::4::5\n2\t1::4::5\n"})
    with pytest.raises(BadRowsError, match=r"ratings\.dat:2: 3 fields instead of 4"):
        read_dataset(directory)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,A,Drama", "movieId is not a whole number: 'x'"),
        ("0,A,Drama", "movieId is not between 1 and 2147483647: 0"),
        ("5,  ,Drama", "title is empty"),
        ("5,A", "2 fields instead of 3"),
        ("5,A, The,Drama", "4 fields instead of 3"),
        ("2,Again,Drama", "movieId 2 is already on line 3"),
        ("5,A\0B,Drama", "title contains a NUL character: 'A\\x00B'"),
        ("5,A\rB,Drama", "not CSV: new-line character seen in unquoted field"),
        ('5,"A"B,Drama', "not CSV: ',' expected after '\"'"),
        ('5,"A (1990),Drama', "not CSV: unexpected end of data"),
        ('5,A,"Drama', "not CSV: unexpected end of data"),
    ],
)
def test_a_bad_movie_costs_only_its_line(write: Write, row: str, reason: str) -> None:
    directory = write({"movies.csv": f"{MOVIES_CSV}\n{row}\n6,Last (1999),Drama\n"})
    with pytest.raises(BadRowsError) as caught:
        read_dataset(directory)
    assert caught.value.rows == [BadRow("movies.csv", 5, reason)]
    data = read_dataset(directory, skip_bad_rows=True)
    assert data.movies.movie_id.tolist() == [1, 2, 6]
    assert data.movies.title.tolist()[1] == "Jumanji (1995)"
    assert data.report.n_bad_rows == 1


def test_quoted_line_ends_keep_the_line_numbers_right(write: Write) -> None:
    movies = 'movieId,title,genres\n1,"Two\nLines (1990)",Drama\n\nbad,B,Drama\n'
    movies += '2,"Also\r\nTwo",Drama\nworse,C,Drama\n'
    tags = _TAGS + '1,1,"a\nb\nc",5\nx,1,d,5\n1,0,"e",5\n'
    directory = write({"movies.csv": movies, "tags.csv": tags})
    data = read_dataset(directory, skip_bad_rows=True)
    assert [(row.file, row.line) for row in data.report.bad_rows] == [
        ("movies.csv", 5),
        ("movies.csv", 8),
        ("tags.csv", 5),
        ("tags.csv", 6),
    ]
    assert data.movies.title.tolist() == ["Two\nLines (1990)", "Also\r\nTwo"]
    assert data.tags.tag.tolist() == ["a\nb\nc"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tags.csv", _TAGS + "u,1,fun,5\n", "userId is not a whole number: 'u'"),
        ("tags.csv", _TAGS + "1,0,fun,5\n", "movieId is not between 1 and 2147483647: 0"),
        ("tags.csv", _TAGS + "1,1,fun,soon\n", "timestamp is not a whole number: 'soon'"),
        ("tags.csv", _TAGS + "1,1,fun\n", "3 fields instead of 4"),
    ],
)
def test_bad_tags(write: Write, name: str, content: str, reason: str) -> None:
    directory = write({name: content})
    with pytest.raises(BadRowsError) as caught:
        read_dataset(directory)
    assert caught.value.rows == [BadRow(name, 2, reason)]
    assert read_dataset(directory, skip_bad_rows=True).report.n_bad_rows == 1


def test_bad_genre_flags(write: Write) -> None:
    items = (
        "1|A (1990)|||" + "|0" * 19 + "\n2|B (1990)|||" + "|0" * 18 + "|7\n3|C (1990)|||" + "|0" * 18 + "\n"
    )
    data = read_dataset(write({"u.item": items, "u.data": "1\t1\t3\t5\n"}), skip_bad_rows=True)
    assert [str(row) for row in data.report.bad_rows] == [
        "u.item:2: genre flag is neither 0 nor 1: '7'",
        "u.item:3: 23 fields instead of 24",
    ]


def test_only_the_first_ten_are_shown_but_all_are_counted(write: Write) -> None:
    ratings = RATINGS_CSV + "bad\n" * 2345 + "5,1,3.0,5\n"
    directory = write({"ratings.csv": ratings})
    with pytest.raises(BadRowsError, match=r"2,345 bad rows:(?s:.*)and 2,335 more") as caught:
        read_dataset(directory)
    assert [row.line for row in caught.value.rows] == list(range(5, 15))
    data = read_dataset(directory, skip_bad_rows=True)
    assert (len(data.ratings), data.report.n_bad_rows, len(data.report.bad_rows)) == (4, 2345, 10)


def test_when_all_rows_are_bad_nothing_is_left(write: Write) -> None:
    with pytest.raises(DataError, match=r"ratings\.csv has no ratings: all of its 1 bad rows were skipped"):
        read_dataset(write({"ratings.csv": "userId,movieId,rating,timestamp\nx\n"}), skip_bad_rows=True)


@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv", "tags.csv"])
def test_binary_junk_is_an_error_of_ours(write: Write, name: str) -> None:
    junk = bytes(range(256)) * 500
    with pytest.raises(DataError, match=rf"{name} has no columns?"):
        read_dataset(write({name: junk}))
    header = {"movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV, "tags.csv": _TAGS}[name]
    with pytest.raises(BadRowsError):
        read_dataset(write({name: header.encode() + junk}))


def test_a_file_that_cannot_be_opened_is_an_error_of_ours(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write({})

    def refuse(path: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    # Root, who runs tests in containers, may open everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read .*movies\.csv: Permission denied"):
        read_dataset(directory)
