"""Reads the headers of CSV files: their separator, their columns in any order, and signs that it is none."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.datasets.fields import shown
from shared.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between the columns of a CSV file; its header tells which one does."""

_FILLERS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class Column:
    """A column that is read.

    Attributes
    ----------
    name : str
        As MovieLens names it. Case, underscores, hyphens and spaces do not matter.
    synonyms : tuple of str
        Other names, in small letters and without fillers, that can mean nothing else in such a file.
    required : bool
        Whether the file is of no use without it.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    required: bool = True


USER_ID = Column("userId", ("user", "uid"))
MOVIE_ID = Column("movieId", ("itemid",))
# Where films are described, these may be titles.
RATED_MOVIE_ID = Column("movieId", ("itemid", "movie", "item"))
TITLE = Column("title")
GENRES = Column("genres", ("genre",))
RATING = Column("rating", ("score", "stars"))
TAG = Column("tag")
TIMESTAMP = Column("timestamp", ("time", "date", "datetime", "ratedat", "taggedat"), required=False)
IMDB_ID = Column("imdbId", ("imdb",), required=False)
TMDB_ID = Column("tmdbId", ("tmdb",), required=False)


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes
    ----------
    separator : str
        What stands between the columns.
    n_fields : int
        How many columns there are.
    positions : tuple of (int or None)
        Where each wanted column stands; None for one that is not there and need not be.
    names : tuple of (str or None)
        What the file calls them.
    wanted : tuple of str
        What MovieLens calls them.
    """

    separator: str
    n_fields: int
    positions: tuple[int | None, ...]
    names: tuple[str | None, ...]
    wanted: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What a report says of it: nothing if it is MovieLens' own."""
        separator = "tab" if self.separator == "\t" else self.separator
        notes = [] if self.separator == SEPARATORS[0] else [f"separator {separator}"]
        called = zip(self.names, self.wanted, strict=True)
        renamed = [
            f"{ascii(name)[1:-1]} as {wanted}" for name, wanted in called if name not in (None, wanted)
        ]
        return [*notes, f"columns {', '.join(renamed)}"] if renamed else notes


def read_header(file: str, line: str, wanted: Sequence[Column]) -> Header:
    """Find the separator and the columns.

    Parameters
    ----------
    file : str
        Name of the file, for messages.
    line : str
        The first line of the file.
    wanted : sequence of Column
        What is read.

    Raises
    ------
    DataError
        When a column is missing, or two may be it.
    """
    best: list[int | None] = [None] * len(wanted)
    separator, names = SEPARATORS[0], _split(line, SEPARATORS[0])
    for candidate in SEPARATORS:
        found_names = _split(line, candidate)
        found = [_find(file, column, found_names) for column in wanted]
        # A name that stands between two of one separator cannot stand between two of another.
        if _n_found(found) > _n_found(best):
            best, separator, names = found, candidate, found_names
    missing = [column for column, at in zip(wanted, best, strict=True) if at is None and column.required]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        required = ", ".join(column.name for column in wanted if column.required)
        raise DataError(
            f"{file} has no {noun} {', '.join(column.name for column in missing)}: its first line names "
            f"{shown(', '.join(names))}. Give it a header with {required}."
        )
    called = tuple(None if at is None else names[at] for at in best)
    return Header(separator, len(names), tuple(best), called, tuple(column.name for column in wanted))


def not_csv(error: csv.Error) -> str:
    """Say why a row is not CSV, without the advice that Python gives to programmers."""
    return f"not CSV: {str(error).partition(' - ')[0]}"


def _split(line: str, separator: str) -> list[str]:
    try:
        fields = next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])
    except csv.Error:
        return [line]
    return [field.strip() for field in fields]


def _find(file: str, column: Column, names: list[str]) -> int | None:
    """Return where a column stands: by its very name, else by its spelling, else by a synonym."""
    if names.count(column.name) == 1:
        return names.index(column.name)
    plain = [_FILLERS.sub("", name).casefold() for name in names]
    for accepted in ((column.name.casefold(),), column.synonyms):
        at = [position for position, name in enumerate(plain) if name in accepted]
        if len(at) > 1:
            raise DataError(
                f"{file} has several columns that may be {column.name}: "
                f"{', '.join(names[position] for position in at)}. Name the right one {column.name}."
            )
        if at:
            return at[0]
    return None


def _n_found(positions: Sequence[int | None]) -> int:
    return sum(position is not None for position in positions)
