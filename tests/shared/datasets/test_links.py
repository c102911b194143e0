"""Links are optional: whatever is in their file, the ratings are imported."""

import pytest

from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.formats import read_dataset
from shared.datasets.importing import import_dataset
from shared.datasets.model import Dataset, ReadReport
from shared.errors import BadRow

from .conftest import Write

_LINKS = "movieId,imdbId,tmdbId\n"


def _ids(data: Dataset) -> tuple[list[int | None], list[int | None]]:
    imdb, tmdb = (
        [None if missing else int(value) for value, missing in zip(column, column.isna(), strict=True)]
        for column in (data.movies.imdb_id, data.movies.tmdb_id)
    )
    return imdb, tmdb


@pytest.mark.parametrize(
    ("links", "understood"),
    [
        (_LINKS + "1,0114709,862\n2,113497,\n", []),
        ("movie_id;IMDB_ID;tmdb id\n1;tt0114709;862.0\n2;TT0113497;nan\n", ["separator ;", "columns"]),
        ("tmdb,imdb,item-id\nNULL,113497.0,2.0\n8.62e2,114709,1\n", ["columns"]),
        ("\ufeffmovieid\timdbid\ttmdbid\n1\t0114709\t862\n2\t0113497\t\\N\n", ["separator tab"]),
        ("movieId|imdbId|tmdbId\n1|0114709|862\n2|0113497|<NA>\n", ["separator |"]),
    ],
)
def test_links_are_read_as_they_are_meant(write: Write, links: str, understood: list[str]) -> None:
    data = read_dataset(write({"links.csv": links}))
    assert _ids(data) == ([114709, 113497], [862, None])
    assert all(any(part in line for line in data.report.understood) for part in understood)
    assert len(data.report.understood) == bool(understood)


@pytest.mark.parametrize(
    ("row", "reason", "ids"),
    [
        ("1,0114709,-5", "tmdbId is not between 0 and 2147483647: -5", (114709, None)),
        ("1,0114709,2147483648", "tmdbId is not between 0 and 2147483647: 2147483648", (114709, None)),
        ("1,99999999999999999999,862", "imdbId is not a whole number: '99999999999999999999'", (None, 862)),
        ("1,0114709,862.5", "tmdbId is not a whole number: '862.5'", (114709, None)),
        ("1,nm0114709,soon", "imdbId is not a whole number: 'nm0114709'; tmdbId is not", (None, None)),
        ("1,0114709", "2 fields instead of 3", (None, None)),
        ("one,0114709,862", "movieId is not a whole number: 'one'", (None, None)),
        ("2147483648,0114709,862", "movieId is not between 1 and 2147483647", (None, None)),
    ],
)
def test_what_cannot_be_read_is_unknown_and_counted(
    write: Write, row: str, reason: str, ids: tuple[int | None, int | None]
) -> None:
    data = read_dataset(write({"links.csv": _LINKS + "\n" + row + "\n2,0113497,8844\n"}))
    assert _ids(data) == ([ids[0], 113497], [ids[1], 8844])
    assert data.report.n_bad_rows == 0
    assert data.report.n_unread_links == 1
    (unread,) = data.report.unread_links
    assert (unread.file, unread.line) == ("links.csv", 3)
    assert unread.reason.startswith(reason)


@pytest.mark.parametrize(
    ("links", "note"),
    [
        (bytes(range(256)) * 50, "links.csv: not used: links.csv has no column movieId"),
        (b"film,imdbId,tmdbId\n1,2,3\n", "links.csv: not used: links.csv has no column movieId"),
        (b"\xff\xfem\0o\0", "links.csv: not used: links.csv has no column movieId"),
        (b"\xff\xfem\0o", "links.csv: not used: links.csv begins like UTF-16 but is not"),
        (b"movieId,tmdbId,tmdb_id,tmdb\n1,862,,\n", "links.csv: no imdbId"),
    ],
)
def test_a_file_of_links_that_makes_no_sense_is_left_out(write: Write, links: bytes, note: str) -> None:
    data = read_dataset(write({"links.csv": links}))
    assert data.movies.imdb_id.isna().all()
    assert len(data.report.understood) == 1
    assert data.report.understood[0].startswith(note)


def test_numbers_that_do_not_fit_the_columns_never_reach_the_database(write: Write) -> None:
    links = _LINKS + "1,4294967296,9007199254740993\n2,2147483647,0\n"
    engine = open_database(f"sqlite:///{write({}) / 'movierec.db'}")
    for skip in (False, True):
        report = import_dataset(engine, write({"links.csv": links}), skip_bad_rows=skip).report
        if not skip:
            assert report == ReadReport(
                n_unread_links=1,
                unread_links=[
                    BadRow(
                        "links.csv",
                        2,
                        "imdbId is not between 0 and 2147483647: 4294967296; "
                        "tmdbId is not between 0 and 2147483647: 9007199254740993",
                    )
                ],
            )
    assert _ids(bulk.read_dataset(engine)[1]) == ([None, 2147483647], [None, 0])
    engine.dispose()
