"""Reading the files of ratings: millions of lines, nearly always good.

A file is read in blocks of whole lines. Arrow parses a block and the columns are checked at once; only a
block that fails is parsed again line by line, which knows the line and the reason.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from shared.contract import MAX_ID, MIN_ID
from shared.datasets.fields import (
    MAX_RATING,
    MAX_TIMESTAMP,
    MIN_RATING,
    BadRows,
    FieldError,
    identifier,
    rating_value,
    timestamp_value,
)
from shared.datasets.headers import header_columns, not_csv
from shared.progress import Progress, Step

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")

Scalar = TypeVar("Scalar", bound=np.generic)

# Larger blocks are slower: the system hands out fresh memory for each.
_BLOCK = 8 << 20
# A file without line ends is not a file of ratings; this keeps it from being read as one line.
_LONGEST_LINE = 1 << 20
_BOM = b"\xef\xbb\xbf"

_TEXT_BEHIND_QUOTE = re.compile(rb'"[^",\r\n]*"[^,\r\n]')

_TYPES = (pa.int32(), pa.int32(), pa.float64(), pa.int64())
_BOUNDS = ((MIN_ID, MAX_ID), (MIN_ID, MAX_ID), (MIN_RATING, MAX_RATING), (0, MAX_TIMESTAMP))


@dataclass(frozen=True)
class RatingColumns:
    """Ratings in the order of the file.

    Attributes
    ----------
    user_ids, movie_ids : numpy.ndarray of int32
    ratings : numpy.ndarray of float32
    timestamps : numpy.ndarray of int64
    """

    user_ids: npt.NDArray[np.int32]
    movie_ids: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64]


@dataclass(frozen=True)
class RatingFormat:
    """How the lines of a file of ratings look.

    Attributes
    ----------
    separator : str
        ``","``, ``"::"`` or a tab.
    positions : tuple of int
        Where user, movie, rating and timestamp stand in a line.
    n_fields : int
        How many fields each line must have.
    """

    separator: str
    positions: tuple[int, int, int, int] = (0, 1, 2, 3)
    n_fields: int = 4


def read_ratings(path: Path, separator: str, bad: BadRows, progress: Progress) -> RatingColumns:
    """Read a file of ratings.

    Parameters
    ----------
    path : Path
        With a header when it is CSV, without one otherwise.
    separator : str
        ``","``, ``"::"`` or a tab.
    bad : BadRows
        Takes the rows that were left out.
    progress : Progress
        Told the bytes read.

    Returns
    -------
    RatingColumns
        The good rows.

    Raises
    ------
    DataError
        When the header lacks a column.
    """
    size = path.stat().st_size
    parts: list[pa.Table] = []
    with path.open("rb") as file:
        form, line = RatingFormat(separator), 1
        if separator == ",":
            form, line = _read_header(file, path.name)
        for block in _blocks(file):
            part = parse_block(block, form)
            if part is None:
                part = parse_lines(block, form, path.name, line, bad)
            parts.append(part)
            line += block.count(b"\n")
            progress(Step(f"reading {path.name}", file.tell(), size, "byte"))
    return _joined(parts)


def parse_block(block: bytes, form: RatingFormat) -> pa.Table | None:
    """Parse whole lines at once; None when any of them is bad or merely unusual."""
    if _is_ambiguous(block):
        return None
    delimiter = form.separator
    if len(delimiter) > 1:
        if b"\t" in block:
            return None
        block, delimiter = block.replace(delimiter.encode(), b"\t"), "\t"
    names = [f"column {i}" for i in range(form.n_fields)]
    wanted = [names[position] for position in form.positions]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(column_names=names),
            pa_csv.ParseOptions(delimiter=delimiter, quote_char='"' if delimiter == "," else False),
            pa_csv.ConvertOptions(
                column_types=dict(zip(wanted, _TYPES, strict=True)), include_columns=wanted, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows and not _within_bounds(table):
        return None
    return table.rename_columns(RATING_COLUMNS)


def _is_ambiguous(block: bytes) -> bool:
    """Say whether Arrow may read a block otherwise than line by line.

    It takes ``0x1A`` and ``"1"2`` for numbers, and a lone carriage return for the end of a line.
    """
    return (
        b"0x" in block
        or b"0X" in block
        or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))
        or (b'"' in block and _TEXT_BEHIND_QUOTE.search(block) is not None)
    )


def _within_bounds(table: pa.Table) -> bool:
    for column, (least, most) in zip(table.columns, _BOUNDS, strict=True):
        bounds = pc.min_max(column)
        if bounds["min"].as_py() < least or bounds["max"].as_py() > most:
            return False
    # Arrow's minimum and maximum pass over a NaN.
    return not pc.any(pc.is_nan(table.column(2))).as_py()


def parse_lines(block: bytes, form: RatingFormat, file: str, first_line: int, bad: BadRows) -> pa.Table:
    """Parse line by line, taking note of each bad one."""
    users: list[int] = []
    movies: list[int] = []
    ratings: list[float] = []
    timestamps: list[int] = []
    user_at, movie_at, rating_at, timestamp_at = form.positions
    # Latin-1 maps each byte to a character, so that any junk can be split and shown.
    for line, text in enumerate(block.decode("latin-1").split("\n"), start=first_line):
        if not text.strip(" \t\r"):
            continue
        try:
            fields = _split(text.rstrip("\r"), form.separator)
            if len(fields) != form.n_fields:
                raise FieldError(f"{len(fields)} fields instead of {form.n_fields}")
            row = (
                identifier("userId", fields[user_at]),
                identifier("movieId", fields[movie_at]),
                rating_value(fields[rating_at]),
                timestamp_value(fields[timestamp_at]),
            )
        except FieldError as error:
            bad.add(file, line, str(error))
            continue
        users.append(row[0])
        movies.append(row[1])
        ratings.append(row[2])
        timestamps.append(row[3])
    columns = zip((users, movies, ratings, timestamps), _TYPES, strict=True)
    return pa.table([pa.array(values, type=of) for values, of in columns], names=RATING_COLUMNS)


def _split(text: str, separator: str) -> list[str]:
    if separator != ",":
        return text.split(separator)
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise FieldError(not_csv(error)) from error


def _read_header(file: BinaryIO, name: str) -> tuple[RatingFormat, int]:
    """Read up to the header; return the format and the number of the line after it."""
    line = 0
    while raw := file.readline(_LONGEST_LINE):
        line += 1
        if line == 1:
            raw = raw.removeprefix(_BOM)
        if raw.strip():
            n_fields, (user, movie, rating, timestamp) = header_columns(
                name, raw.decode("utf-8", "replace"), RATING_COLUMNS
            )
            return RatingFormat(",", (user, movie, rating, timestamp), n_fields), line + 1
    return RatingFormat(","), line + 1


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline(_LONGEST_LINE)


def _joined(parts: list[pa.Table]) -> RatingColumns:
    schema = pa.schema(zip(RATING_COLUMNS, _TYPES, strict=True))
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    users, movies, ratings, timestamps = table.columns
    return RatingColumns(
        _writable(users.to_numpy()),
        _writable(movies.to_numpy()),
        _writable(ratings.to_numpy().astype(np.float32)),
        _writable(timestamps.to_numpy()),
    )


def _writable(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    # Arrow lends its memory read-only when it lies in one piece.
    return array if array.flags.writeable else array.copy()
