"""Reads every MovieLens format into one :class:`~shared.datasets.model.Dataset`.

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

A line that is not UTF-8 is read as Windows-1252, which agrees with Latin-1 on every letter. What else is read
of tables that were written by other programs stands in docs/operations.md.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from shared.datasets.fields import BadRows
from shared.datasets.layouts import (
    CSV,
    DAT,
    ML_100K,
    DatasetFiles,
    find_dataset,
    fingerprint,
    locate,
    unreadable,
)
from shared.datasets.model import Dataset, ReadReport
from shared.datasets.movie_files import (
    MovieColumns,
    read_movies_100k,
    read_movies_csv,
    read_movies_dat,
    year_of,
)
from shared.datasets.options import NO_OPTIONS, ReadingOptions
from shared.datasets.ratings_files import RatingColumns, read_ratings
from shared.datasets.text_files import Link, LinkTable, TagColumns, read_links, read_tags_csv, read_tags_dat
from shared.errors import DataError
from shared.progress import Progress, Step, silent

__all__ = ["find_dataset", "fingerprint", "read_dataset", "year_of"]

_SEPARATORS = {CSV.name: None, DAT.name: "::", ML_100K.name: "\t"}


def read_dataset(
    path: Path,
    *,
    skip_bad_rows: bool = False,
    options: ReadingOptions = NO_OPTIONS,
    progress: Progress = silent,
) -> Dataset:
    """Read the data set in a directory or zip, whatever its format.

    Parameters
    ----------
    path : Path
        Directory that holds the files, or has one sub-directory that does; or a zip with one such folder.
    skip_bad_rows : bool
        Leave bad rows out and count them in the report, instead of refusing the data set.
    options : ReadingOptions
        What the user says of files that can be read in two ways.
    progress : Progress
        Told where reading is.

    Returns
    -------
    Dataset
        With the name of the folder that holds the files. Of several ratings of a movie by one user the
        last one stands; a movie that is rated or tagged but not listed gets a placeholder.

    Raises
    ------
    BadRowsError
        For rows that cannot be read, unless they are skipped.
    DataError
        When there is no data set, a file cannot be read, lacks a column or can be read in two ways, or no
        movie or rating is left.
    """
    found = locate(path)
    try:
        return _read(found, skip_bad_rows, options, progress)
    except OSError as error:
        raise unreadable(found.path, error) from error


def _read(found: DatasetFiles, skip_bad_rows: bool, options: ReadingOptions, progress: Progress) -> Dataset:
    bad, unread_links = BadRows(), BadRows()
    layout, files = found.layout, found.files
    movies = _read_movies(found, bad, progress)
    ratings = read_ratings(files[layout.ratings], _SEPARATORS[layout.name], bad, progress, options)
    tags = _read_tags(found, bad, options, progress)
    links = LinkTable()
    if "links.csv" in files:
        _tell(progress, files["links.csv"].name)
        links = read_links(files["links.csv"], unread_links)
    if not skip_bad_rows:
        bad.raise_if_any()
    for name, rows in ((layout.movies, movies.movie_ids), (layout.ratings, ratings.user_ids)):
        if not len(rows):
            what = "movies" if name == layout.movies else "ratings"
            skipped = f": all of its {bad.total:,} bad rows were skipped" if bad.total else ""
            file = found.path / files[name].name
            raise DataError(f"{file} has no {what}{skipped}. Fetch or generate the data set again.")

    progress(Step("sorting ratings", 0, len(ratings.user_ids), "rating"))
    ratings_table, n_duplicates = _ratings_table(ratings)
    n_unlisted = _add_unlisted(movies, ratings, tags)
    notes = {
        layout.movies: movies.notes,
        layout.ratings: ratings.notes,
        layout.optional[0]: tags.notes,
        "links.csv": links.notes,
    }
    report = ReadReport(
        bad.rows,
        bad.total,
        n_duplicates,
        n_unlisted,
        movies.n_repaired,
        tags.n_empty,
        unread_links.rows,
        unread_links.total,
        [f"{files[name].name}: {', '.join(of_file)}" for name, of_file in notes.items() if of_file],
    )
    progress(Step("sorting ratings", len(ratings.user_ids), len(ratings.user_ids), "rating"))
    return Dataset(found.name, _movies_table(movies, links.links), ratings_table, _tags_table(tags), report)


def _read_movies(found: DatasetFiles, bad: BadRows, progress: Progress) -> MovieColumns:
    file = found.files[found.layout.movies]
    _tell(progress, file.name)
    if found.layout is CSV:
        return read_movies_csv(file, bad)
    if found.layout is ML_100K:
        movies = read_movies_100k(file, found.files.get("u.genre"), bad)
        movies.n_repaired = 0
        return movies
    movies = read_movies_dat(file, bad)
    if "users.dat" in found.files or "tags.dat" not in found.files:
        # ML-1M is Latin-1 by nature: nothing was mended.
        movies.n_repaired = 0
    return movies


def _read_tags(found: DatasetFiles, bad: BadRows, options: ReadingOptions, progress: Progress) -> TagColumns:
    name = {CSV.name: "tags.csv", DAT.name: "tags.dat"}.get(found.layout.name)
    file = found.files.get(name) if name else None
    if file is None:
        return TagColumns()
    _tell(progress, file.name)
    return (read_tags_csv if found.layout is CSV else read_tags_dat)(file, bad, options)


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
