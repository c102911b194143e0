"""Reads the files of ratings: millions of lines, nearly always good.

A file is read in blocks of whole lines. Arrow parses a block and the columns are checked at once; only a
block that fails is parsed again line by line, which knows the line and the reason.

What the numbers mean (:mod:`shared.datasets.dialects`) is known when all are read. If some then turn out to
be bad rows, the file is read a second time, to find their lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shared.datasets.dialects import Meaning, judge_scale, judge_unit, time_note, to_stars
from shared.datasets.fields import BadRows, FieldError, has_zone, is_date, whole_number
from shared.datasets.headers import RATED_MOVIE_ID, RATING, TIMESTAMP, USER_ID, Header, read_header
from shared.datasets.options import NO_OPTIONS, ReadingOptions, TimeUnit
from shared.datasets.ratings_blocks import (
    RATING_COLUMNS,
    RATING_TYPES,
    RatingFormat,
    parse_block,
    parse_lines,
    split_line,
)
from shared.datasets.sources import InputFile
from shared.progress import Progress, Step

Scalar = TypeVar("Scalar", bound=np.generic)

# Larger blocks are slower: the system hands out fresh memory for each.
_BLOCK = 8 << 20
# A file without line ends is not a file of ratings; this keeps it from being read as one line.
_LONGEST_LINE = 1 << 20
_BOM = b"\xef\xbb\xbf"
_SAMPLED_LINES = 100


@dataclass(frozen=True)
class RatingColumns:
    """Ratings in the order of the file.

    Attributes
    ----------
    user_ids, movie_ids : numpy.ndarray of int32
    ratings : numpy.ndarray of float32
        Stars.
    timestamps : numpy.ndarray of int64
        Seconds since 1970, or, if the file has none, numbers that count up.
    notes : tuple of str
        How the file was understood, where it is not plain MovieLens.
    """

    user_ids: npt.NDArray[np.int32]
    movie_ids: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_ratings(
    file: InputFile,
    separator: str | None,
    bad: BadRows,
    progress: Progress,
    options: ReadingOptions = NO_OPTIONS,
) -> RatingColumns:
    """Read a file of ratings.

    Parameters
    ----------
    file : InputFile
        With a header when it is CSV, without one otherwise.
    separator : str or None
        ``"::"`` or a tab; None for CSV, whose header tells.
    bad : BadRows
        Takes the rows that were left out.
    progress : Progress
        Told the bytes read.
    options : ReadingOptions
        What the user says of it.

    Returns
    -------
    RatingColumns
        The good rows.

    Raises
    ------
    DataError
        When the header lacks a column, the numbers can be read in two ways, or the file cannot be unpacked.
    """
    meaning = Meaning(options.scale, None if options.timestamps is TimeUnit.NONE else options.timestamps)
    read = _read(file, separator, meaning, options, progress)
    if meaning.scale is None or meaning.unit is None:
        meaning = Meaning(
            meaning.scale or judge_scale(file.name, read.ratings),
            meaning.unit or judge_unit(file.name, read.numeric_times),
        )
        if not read.fits(meaning):
            del read
            read = _read(file, separator, meaning, options, progress)
    bad.extend(read.bad)
    return read.understood(meaning, file)


@dataclass(frozen=True)
class _Read:
    """What is in a file: numbers as they are written there."""

    form: RatingFormat
    header: Header | None
    bad: BadRows
    user_ids: npt.NDArray[np.int32]
    movie_ids: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float64]
    timestamps: npt.NDArray[np.int64] | None

    @property
    def numeric_times(self) -> npt.NDArray[np.int64]:
        """Times whose unit matters."""
        none = np.empty(0, dtype=np.int64)
        return none if self.timestamps is None or self.form.dates else self.timestamps

    def fits(self, meaning: Meaning) -> bool:
        """Tell whether no number is outside of its bounds."""
        assert meaning.scale is not None
        assert meaning.unit is not None
        numbers = ((self.ratings, meaning.scale.bounds), (self.numeric_times, (0, meaning.unit.most)))
        return all(
            not len(values) or (values.min() >= least and values.max() <= most)
            for values, (least, most) in numbers
        )

    def understood(self, meaning: Meaning, file: InputFile) -> RatingColumns:
        assert meaning.scale is not None
        assert meaning.unit is not None
        unit = TimeUnit.SECONDS if self.form.dates else meaning.unit
        if self.timestamps is None:
            unit, timestamps = TimeUnit.NONE, np.arange(len(self.ratings), dtype=np.int64)
        elif unit.per_second != 1:
            timestamps = self.timestamps // unit.per_second
        else:
            timestamps = _writable(self.timestamps)
        notes = (
            *file.notes(),
            *(self.header.notes if self.header else ()),
            "whole numbers as 1.0" if self.form.decimal_ids or self.form.decimal_times else "",
            "decimal comma" if self.form.decimal_comma else "",
            meaning.scale.note,
            time_note(unit, dates=self.form.dates),
        )
        return RatingColumns(
            _writable(self.user_ids),
            _writable(self.movie_ids),
            to_stars(self.ratings, meaning.scale),
            timestamps,
            tuple(filter(None, notes)),
        )


def _read(
    file: InputFile, separator: str | None, meaning: Meaning, options: ReadingOptions, progress: Progress
) -> _Read:
    """Read the whole file, once."""
    size, done, bad = file.size(), 0, BadRows()
    parts: list[pa.Table] = []
    form: RatingFormat | None = None
    with file.open() as source:
        header, line = None, 1
        if separator is None:
            header, line, done = _read_header(source, file.name)
        for block in _blocks(source):
            form = form or _form(block, header, separator, options)
            part = parse_block(block, form, meaning)
            if part is None:
                part = parse_lines(block, form, meaning, file.name, line, bad)
            parts.append(part)
            line += block.count(b"\n")
            done += len(block)
            progress(Step(f"reading {file.name}", done, size, "byte"))
    form = form or _form(b"", header, separator, options)
    schema = pa.schema([(name, of) for name, of in _SCHEMA.items() if name in form.columns])
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    return _Read(form, header, bad, *(_column(table, name) for name in RATING_COLUMNS))


_SCHEMA = dict(zip(RATING_COLUMNS, RATING_TYPES, strict=True))


def _read_header(source: BinaryIO, name: str) -> tuple[Header | None, int, int]:
    """Read up to the header; return it, the number of the line after it, and the bytes read."""
    line = done = 0
    while raw := source.readline(_LONGEST_LINE):
        line += 1
        done += len(raw)
        if line == 1:
            raw = raw.removeprefix(_BOM)
        if raw.strip():
            wanted = (USER_ID, RATED_MOVIE_ID, RATING, TIMESTAMP)
            return read_header(name, raw.decode("utf-8", "replace"), wanted), line + 1, done
    return None, line + 1, done


def _form(
    block: bytes, header: Header | None, separator: str | None, options: ReadingOptions
) -> RatingFormat:
    """Tell from the first lines how they are written."""
    if header is not None:
        user, movie, rating, timestamp = header.positions
        assert user is not None
        assert movie is not None
        assert rating is not None
        form = RatingFormat(header.separator, (user, movie, rating, timestamp), header.n_fields, quoted=True)
    else:
        form = RatingFormat(separator or ",", quoted=separator is None)
    rows = _sample(block, form)
    if header is None and rows and all(len(row) == 3 for row in rows):
        form = replace(form, positions=(0, 1, 2, None), n_fields=3)
    if options.timestamps is TimeUnit.NONE:
        form = replace(form, positions=(*form.positions[:3], None))
    rows = [row for row in rows if len(row) == form.n_fields]
    user, movie, rating, timestamp = form.positions
    times = [] if timestamp is None else [row[timestamp] for row in rows]
    return replace(
        form,
        decimal_ids=any(_is_decimal(row[at]) for row in rows for at in (user, movie)),
        decimal_times=any(map(_is_decimal, times)),
        dates=2 * sum(map(is_date, times)) > len(rows),
        zoned=any(map(has_zone, times)),
        decimal_comma=any("," in row[at] for row in rows for at in (user, movie, rating)),
    )


def _sample(block: bytes, form: RatingFormat) -> list[list[str]]:
    rows = []
    for text in block[:_LONGEST_LINE].decode("latin-1").split("\n")[:_SAMPLED_LINES]:
        if text.strip(" \t\r"):
            try:
                rows.append(split_line(text.rstrip("\r"), form))
            except FieldError:
                continue  # it will be a bad row
    return rows


def _is_decimal(text: str) -> bool:
    try:
        whole_number("", text)
    except FieldError:
        return False
    return not text.strip(" \t\r-").isdecimal()


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + source.readline(_LONGEST_LINE)


def _column(table: pa.Table, name: str) -> Any:
    return table.column(name).to_numpy() if name in table.column_names else None


def _writable(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    # Arrow lends its memory read-only when it lies in one piece.
    return array if array.flags.writeable else array.copy()
