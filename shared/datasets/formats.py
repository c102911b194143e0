"""Reading every MovieLens format into one :class:`~shared.datasets.model.Dataset`.

====================  ==========================================  =====================================
Data sets             Files                                       Encoding
====================  ==========================================  =====================================
20M, 25M, 32M,        ``movies.csv``, ``ratings.csv``,            UTF-8
latest                and ``tags.csv``, ``links.csv`` if there
ML-10M                ``movies.dat``, ``ratings.dat``,            UTF-8
                      ``tags.dat``
ML-1M                 ``movies.dat``, ``ratings.dat``             Latin-1
ML-100k               ``u.item``, ``u.data``,                     Latin-1
                      and ``u.genre`` if there
====================  ==========================================  =====================================

A line that is not UTF-8 is read as Windows-1252, which agrees with Latin-1 on every letter.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from shared.datasets.fields import BadRows
from shared.datasets.layouts import CSV, DAT, ML_100K, Layout, find_dataset, fingerprint, locate, unreadable
from shared.datasets.model import Dataset, ReadReport
from shared.datasets.ratings_files import RatingColumns, read_ratings
from shared.datasets.text_files import (
    Link,
    MovieColumns,
    TagColumns,
    read_links,
    read_movies_100k,
    read_movies_csv,
    read_movies_dat,
    read_tags_csv,
    read_tags_dat,
    year_of,
)
from shared.errors import DataError
from shared.progress import Progress, Step, silent

__all__ = ["find_dataset", "fingerprint", "read_dataset", "year_of"]

_SEPARATORS = {CSV.name: ",", DAT.name: "::", ML_100K.name: "\t"}


def read_dataset(directory: Path, *, skip_bad_rows: bool = False, progress: Progress = silent) -> Dataset:
    """Read the data set in a directory, whatever its format.

    Parameters
    ----------
    directory : Path
        Holds the files, or has one sub-directory that does.
    skip_bad_rows : bool
        Leave bad rows out and count them in the report, instead of refusing the data set.
    progress : Progress
        Told where reading is.

    Returns
    -------
    Dataset
        With the name of the directory that holds the files. Of several ratings of a movie by one user the
        last one stands; a movie that is rated or tagged but not listed gets a placeholder.

    Raises
    ------
    BadRowsError
        For rows that cannot be read, unless they are skipped.
    DataError
        When there is no data set, a file cannot be read or lacks a column, or no movie or rating is left.
    """
    found, layout = locate(directory)
    try:
        return _read(found, layout, skip_bad_rows, progress)
    except OSError as error:
        raise unreadable(found, error) from error


def _read(directory: Path, layout: Layout, skip_bad_rows: bool, progress: Progress) -> Dataset:
    bad = BadRows()
    movies = _read_movies(directory, layout, bad, progress)
    ratings = read_ratings(directory / layout.ratings, _SEPARATORS[layout.name], bad, progress)
    tags = _read_tags(directory, layout, bad, progress)
    links: dict[int, Link] = {}
    if layout is CSV and (directory / "links.csv").is_file():
        _tell(progress, "links.csv")
        links = read_links(directory / "links.csv", bad)
    if not skip_bad_rows:
        bad.raise_if_any()
    for name, rows in ((layout.movies, movies.movie_ids), (layout.ratings, ratings.user_ids)):
        if not len(rows):
            what = "movies" if name == layout.movies else "ratings"
            skipped = f": all of its {bad.total:,} bad rows were skipped" if bad.total else ""
            raise DataError(
                f"{directory / name} has no {what}{skipped}. Fetch or generate the data set again."
            )

    progress(Step("sorting ratings", 0, len(ratings.user_ids), "rating"))
    ratings_table, n_duplicates = _ratings_table(ratings)
    n_unlisted = _add_unlisted(movies, ratings, tags)
    report = ReadReport(bad.rows, bad.total, n_duplicates, n_unlisted, movies.n_repaired, tags.n_empty)
    progress(Step("sorting ratings", len(ratings.user_ids), len(ratings.user_ids), "rating"))
    name = directory.resolve().name or "dataset"
    return Dataset(name, _movies_table(movies, links), ratings_table, _tags_table(tags), report)


def _read_movies(directory: Path, layout: Layout, bad: BadRows, progress: Progress) -> MovieColumns:
    path = directory / layout.movies
    _tell(progress, path.name)
    if layout is CSV:
        return read_movies_csv(path, bad)
    if layout is ML_100K:
        movies = read_movies_100k(path, directory / "u.genre", bad)
        movies.n_repaired = 0
        return movies
    movies = read_movies_dat(path, bad)
    if (directory / "users.dat").is_file() or not (directory / "tags.dat").is_file():
        # ML-1M is Latin-1 by nature: nothing was mended.
        movies.n_repaired = 0
    return movies


def _read_tags(directory: Path, layout: Layout, bad: BadRows, progress: Progress) -> TagColumns:
    name = {CSV.name: "tags.csv", DAT.name: "tags.dat"}.get(layout.name)
    if name is None or not (directory / name).is_file():
        return TagColumns()
    _tell(progress, name)
    return (read_tags_csv if layout is CSV else read_tags_dat)(directory / name, bad)


def _tell(progress: Progress, file: str) -> None:
    progress(Step(f"reading {file}", 0))


def _ratings_table(columns: RatingColumns) -> tuple[pd.DataFrame, int]:
    """Sort by user and movie, and keep the last of duplicates; also say how many were dropped."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "user_id": columns.user_ids,
        "movie_id": columns.movie_ids,
        "rating": columns.ratings,
        "timestamp": columns.timestamps,
    }
    pairs = (columns.user_ids.astype(np.int64) << 32) | columns.movie_ids
    steps = np.diff(pairs)
    if (steps > 0).all():
        return pd.DataFrame(arrays, copy=False), 0
    if (steps < 0).any():
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
    else:
        order = np.arange(len(pairs))
    if (pairs[1:] == pairs[:-1]).any():
        # Stable in the order of the file: of equal times the later line comes last.
        order = np.lexsort((columns.timestamps, columns.movie_ids, columns.user_ids))
        order = order[np.append(pairs[1:] != pairs[:-1], True)]
    table = pd.DataFrame({name: array[order] for name, array in arrays.items()}, copy=False)
    return table, len(pairs) - len(order)


def _add_unlisted(movies: MovieColumns, ratings: RatingColumns, tags: TagColumns) -> int:
    mentioned = {int(movie_id) for movie_id in pd.unique(ratings.movie_ids)} | set(tags.movie_ids)
    unlisted = sorted(mentioned - set(movies.movie_ids))
    for movie_id in unlisted:
        movies.movie_ids.append(movie_id)
        movies.titles.append(f"(untitled movie {movie_id})")
        movies.years.append(None)
        movies.genres.append("")
    return len(unlisted)


def _movies_table(columns: MovieColumns, links: dict[int, Link]) -> pd.DataFrame:
    none = Link(None, None)
    found = [links.get(movie_id, none) for movie_id in columns.movie_ids]
    table = pd.DataFrame(
        {
            "movie_id": np.array(columns.movie_ids, dtype=np.int32),
            "title": pd.Series(columns.titles, dtype="str"),
            "year": pd.array(columns.years, dtype="Int16"),
            "genres": pd.Series(columns.genres, dtype="str"),
            "imdb_id": pd.array([link.imdb_id for link in found], dtype="Int64"),
            "tmdb_id": pd.array([link.tmdb_id for link in found], dtype="Int64"),
        }
    )
    return table.sort_values("movie_id", ignore_index=True)


def _tags_table(columns: TagColumns) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "user_id": np.array(columns.user_ids, dtype=np.int32),
            "movie_id": np.array(columns.movie_ids, dtype=np.int32),
            "tag": pd.Series(columns.tags, dtype="str"),
            "timestamp": np.array(columns.timestamps, dtype=np.int64),
        }
    )
    return table.sort_values(["user_id", "movie_id", "timestamp"], kind="stable", ignore_index=True)
