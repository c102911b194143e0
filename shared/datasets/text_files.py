"""Reads the files of tags and links into columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from shared.datasets.dialects import judge_unit, time_note
from shared.datasets.fields import (
    BadRows,
    FieldError,
    date_value,
    foreign_id,
    identifier,
    is_date,
    text_value,
    timestamp_value,
)
from shared.datasets.headers import IMDB_ID, MOVIE_ID, RATED_MOVIE_ID, TAG, TIMESTAMP, TMDB_ID, USER_ID
from shared.datasets.options import ReadingOptions, TimeUnit
from shared.datasets.records import Record, read_lines, read_table, separated_records
from shared.datasets.sources import InputFile
from shared.errors import DataError


@dataclass
class TagColumns:
    """Tags in the order of the file."""

    user_ids: list[int] = field(default_factory=list)
    movie_ids: list[int] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    n_empty: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """Ids of a movie elsewhere."""

    imdb_id: int | None
    tmdb_id: int | None


@dataclass
class LinkTable:
    """Links by movie id."""

    links: dict[int, Link] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_tags_csv(file: InputFile, bad: BadRows, options: ReadingOptions) -> TagColumns:
    """Read ``tags.csv``."""
    table = read_table(file, (USER_ID, RATED_MOVIE_ID, TAG, TIMESTAMP), bad)
    return _tags(file, table.records, bad, options, table.notes, has_times=not table.missing)


def read_tags_dat(file: InputFile, bad: BadRows, options: ReadingOptions) -> TagColumns:
    """Read ``tags.dat``."""
    records = separated_records(file, read_lines(file), "::", 4, bad)
    return _tags(file, records, bad, options, file.notes(), has_times=True)


def read_links(file: InputFile, unread: BadRows) -> LinkTable:
    """Read ``links.csv``: for each movie id its first link.

    The file is optional, so nothing in it is an error: an id that cannot be read is unknown.
    """
    found = LinkTable()
    try:
        table = read_table(file, (MOVIE_ID, IMDB_ID, TMDB_ID), unread)
    except DataError as error:
        return LinkTable(notes=[f"not used: {error}"])
    for record in table.records:
        reasons = []
        ids: list[int | None] = []
        for name, text in zip(("imdbId", "tmdbId"), record.fields[1:], strict=True):
            try:
                ids.append(foreign_id(name, text))
            except FieldError as error:
                ids.append(None)
                reasons.append(str(error))
        try:
            found.links.setdefault(identifier("movieId", record.fields[0]), Link(*ids))
        except FieldError as error:
            reasons = [str(error)]
        if reasons:
            unread.add(file.name, record.line, "; ".join(reasons))
    found.notes = [*table.notes, *(f"no {name}" for name in table.missing)]
    return found


def _tags(
    file: InputFile,
    records: Iterator[Record],
    bad: BadRows,
    options: ReadingOptions,
    notes: list[str],
    *,
    has_times: bool,
) -> TagColumns:
    rows = list(records)
    reader = _times(file, [row.fields[3] for row in rows], options, has_times=has_times)
    columns = TagColumns(notes=[*notes, *filter(None, [reader.note])])
    for record in rows:
        try:
            user_id = identifier("userId", record.fields[0])
            movie_id = identifier("movieId", record.fields[1])
            timestamp = reader.seconds(record.fields[3], len(columns.tags))
            if not record.fields[2].strip():  # the large data sets have a few, and they say nothing
                columns.n_empty += 1
                continue
            tag = text_value("tag", record.fields[2])
        except FieldError as error:
            bad.add(file.name, record.line, str(error))
            continue
        columns.user_ids.append(user_id)
        columns.movie_ids.append(movie_id)
        columns.tags.append(tag)
        columns.timestamps.append(timestamp)
    return columns


@dataclass(frozen=True)
class _Times:
    """How the times of a file are read."""

    unit: TimeUnit
    dates: bool = False

    @property
    def note(self) -> str:
        return time_note(self.unit, dates=self.dates)

    def seconds(self, text: str, n_before: int) -> int:
        if self.unit is TimeUnit.NONE:
            return n_before
        return date_value(text) if self.dates else timestamp_value(text, self.unit) // self.unit.per_second


def _times(file: InputFile, texts: list[str], options: ReadingOptions, *, has_times: bool) -> _Times:
    if not has_times or options.timestamps is TimeUnit.NONE:
        return _Times(TimeUnit.NONE)
    if 2 * sum(map(is_date, texts)) > len(texts):
        return _Times(TimeUnit.SECONDS, dates=True)
    if options.timestamps is not None:
        return _Times(options.timestamps)
    numbers = []
    for text in texts:
        try:
            numbers.append(timestamp_value(text, None))
        except FieldError:
            continue  # it will be a bad row
    return _Times(judge_unit(file.name, np.array(numbers, dtype=np.int64)))
