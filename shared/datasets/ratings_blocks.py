"""Parses blocks of whole lines of ratings: at once by Arrow, or line by line where that fails."""

import csv
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from shared.contract.kinds import MAX_ID, MIN_ID
from shared.datasets.dialects import Meaning
from shared.datasets.fields import (
    MAX_EXACT,
    BadRows,
    FieldError,
    date_value,
    identifier,
    may_be_thousands,
    rating_value,
    timestamp_value,
)
from shared.datasets.headers import not_csv
from shared.datasets.options import TimeUnit

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
RATING_TYPES = (pa.int32(), pa.int32(), pa.float64(), pa.int64())

_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class RatingFormat:
    """How the lines of a file of ratings look.

    Attributes
    ----------
    separator : str
        One of :data:`~shared.datasets.headers.SEPARATORS`, or ``"::"``.
    positions : tuple of (int or None)
        Where user, movie, rating and timestamp stand in a line; None when it has no timestamp.
    n_fields : int
        How many fields each line must have.
    quoted : bool
        Whether a field may stand in double quotes.
    decimal_ids, decimal_times : bool
        Whether whole numbers are written as ``1.0``; both ways are read, but one is fast.
    dates : bool
        Whether timestamps are dates; no others are read.
    zoned : bool
        Whether dates name their zone; both ways are read, but one is fast.
    decimal_comma : bool
        Whether numbers are written as ``3,5``; both ways are read, but one is fast.
    """

    separator: str
    positions: tuple[int, int, int, int | None] = (0, 1, 2, 3)
    n_fields: int = 4
    quoted: bool = False
    decimal_ids: bool = False
    decimal_times: bool = False
    dates: bool = False
    zoned: bool = False
    decimal_comma: bool = False

    @property
    def columns(self) -> dict[str, int]:
        """The columns that are there, with their positions."""
        at = dict(zip(RATING_COLUMNS, self.positions, strict=True))
        return {name: position for name, position in at.items() if position is not None}

    @property
    def types(self) -> dict[str, pa.DataType]:
        """What Arrow reads each column as."""
        of_id = pa.float64() if self.decimal_ids else pa.int32()
        of_time = pa.float64() if self.decimal_times else pa.int64()
        if self.dates:
            of_time = pa.timestamp("us", tz="UTC" if self.zoned else None)
        types = dict(zip(RATING_COLUMNS, (of_id, of_id, pa.float64(), of_time), strict=True))
        return {name: types[name] for name in self.columns}


def parse_block(block: bytes, form: RatingFormat, meaning: Meaning) -> pa.Table | None:
    """Parse whole lines at once; None when any of them is bad or merely unusual.

    Returns
    -------
    pyarrow.Table
        Columns of :data:`RATING_TYPES`, the timestamp only if the file has it; numbers as in the file, dates
        in seconds.
    """
    delimiter = form.separator
    if _is_ambiguous(block, delimiter):
        return None
    if form.decimal_comma and (form.decimal_ids or form.decimal_times) and may_be_thousands(block):
        return None
    if len(delimiter) > 1:
        if b"\t" in block:
            return None
        block, delimiter = block.replace(delimiter.encode(), b"\t"), "\t"
    names = [f"column {i}" for i in range(form.n_fields)]
    wanted = {names[position]: form.types[name] for name, position in form.columns.items()}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(column_names=names),
            pa_csv.ParseOptions(delimiter=delimiter, quote_char='"' if form.quoted else False),
            pa_csv.ConvertOptions(
                column_types=wanted,
                include_columns=list(wanted),
                null_values=[],
                decimal_point="," if form.decimal_comma else ".",
            ),
        ).rename_columns(list(form.columns))
        table = _whole(table)
    except pa.ArrowInvalid:
        return None
    return table if table is not None and _within_bounds(table, form, meaning) else None


def parse_lines(
    block: bytes, form: RatingFormat, meaning: Meaning, file: str, first_line: int, bad: BadRows
) -> pa.Table:
    """Parse line by line, taking note of each bad one; else as :func:`parse_block`."""
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
            fields = split_line(text.rstrip("\r"), form)
            if len(fields) != form.n_fields:
                raise FieldError(f"{len(fields)} fields instead of {form.n_fields}")
            row = (
                identifier("userId", fields[user_at]),
                identifier("movieId", fields[movie_at]),
                rating_value(fields[rating_at], meaning.scale),
                0 if timestamp_at is None else _timestamp(fields[timestamp_at], form, meaning),
            )
        except FieldError as error:
            bad.add(file, line, str(error))
            continue
        users.append(row[0])
        movies.append(row[1])
        ratings.append(row[2])
        timestamps.append(row[3])
    columns = dict(zip(RATING_COLUMNS, (users, movies, ratings, timestamps), strict=True))
    types = dict(zip(RATING_COLUMNS, RATING_TYPES, strict=True))
    return pa.table({name: pa.array(columns[name], type=types[name]) for name in form.columns})


def split_line(text: str, form: RatingFormat) -> list[str]:
    """Split one line into its fields.

    Raises
    ------
    FieldError
        When it is not CSV.
    """
    if not form.quoted:
        return text.split(form.separator)
    try:
        return next(csv.reader([text], delimiter=form.separator, strict=True))
    except csv.Error as error:
        raise FieldError(not_csv(error)) from error


def _timestamp(text: str, form: RatingFormat, meaning: Meaning) -> int:
    return date_value(text) if form.dates else timestamp_value(text, meaning.unit)


def _is_ambiguous(block: bytes, separator: str) -> bool:
    """Say whether Arrow may read a block otherwise than line by line.

    It takes ``0x1A`` and ``"1"2`` for numbers, and a lone carriage return for the end of a line.
    """
    return (
        b"0x" in block
        or b"0X" in block
        or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))
        or (b'"' in block and _text_behind_quote(separator).search(block) is not None)
    )


def _text_behind_quote(separator: str) -> re.Pattern[bytes]:
    mark = re.escape(separator.encode())
    return re.compile(rb'"[^"' + mark + rb'\r\n]*"[^' + mark + rb"\r\n]")


def _whole(table: pa.Table) -> pa.Table | None:
    """Turn whole numbers that are floating point, and dates, into integers; None for what is not whole."""
    for at, (name, of) in enumerate(zip(RATING_COLUMNS, RATING_TYPES, strict=True)):
        if at >= table.num_columns or table.column(at).type == of:
            continue
        column = table.column(at)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
            if table.num_rows and pc.min(column).as_py() < 0:
                return None
            column = pc.divide(column, _MICROSECONDS)
        elif table.num_rows and not pc.all(pc.less(pc.abs(column), float(MAX_EXACT))).as_py():
            return None
        table = table.set_column(at, name, column.cast(of))
    return table


def _within_bounds(table: pa.Table, form: RatingFormat, meaning: Meaning) -> bool:
    if not table.num_rows:
        return True
    # Arrow's minimum and maximum pass over a NaN.
    if not pc.all(pc.is_finite(table.column("rating"))).as_py():
        return False
    bounds: dict[str, tuple[float, float]] = {"userId": (MIN_ID, MAX_ID), "movieId": (MIN_ID, MAX_ID)}
    if meaning.scale is not None:
        bounds["rating"] = meaning.scale.bounds
    unit = TimeUnit.SECONDS if form.dates else meaning.unit
    if unit is not None and "timestamp" in table.column_names:
        bounds["timestamp"] = (0, unit.most)
    for name, (least, most) in bounds.items():
        found = pc.min_max(table.column(name))
        if found["min"].as_py() < least or found["max"].as_py() > most:
            return False
    return True
