"""Reads the rows of the smaller files, which hold text, each with the line it starts on."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.datasets.fields import BadRows
from shared.datasets.headers import Column, Header, not_csv, read_header
from shared.datasets.sources import MAX_UNPACKED_TEXT, InputFile

_BOM = b"\xef\xbb\xbf"
_UNDEFINED_IN_1252 = re.compile(b"[\x81\x8d\x8f\x90\x9d]")


@dataclass(frozen=True)
class Lines:
    """A decoded file.

    Attributes
    ----------
    lines : list of str
        Each with its line end.
    repaired : frozenset of int
        Numbers of the lines, from 1, that were not UTF-8.
    """

    lines: list[str]
    repaired: frozenset[int]


@dataclass(frozen=True)
class Record:
    """One row: its fields, the lines it starts and ends on, and whether these had to be repaired."""

    fields: list[str]
    line: int
    last_line: int


def read_lines(file: InputFile) -> Lines:
    """Read a text file as UTF-8, and the lines that are not UTF-8 as Windows-1252."""
    with file.open(MAX_UNPACKED_TEXT) as source:
        content = source.read().removeprefix(_BOM)
    try:
        return Lines(_split(content.decode("utf-8")), frozenset())
    except UnicodeDecodeError:
        pass
    lines: list[str] = []
    repaired: set[int] = set()
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            repaired.add(number)
            # Five bytes have no meaning in Windows-1252; Latin-1 gives every byte one.
            text = raw.decode("latin-1" if _UNDEFINED_IN_1252.search(raw) else "cp1252")
        lines.append(text + "\n")
    return Lines(lines, frozenset(repaired))


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file, and how it was understood.

    Attributes
    ----------
    lines : Lines
        The file.
    records : iterator of Record
        The wanted columns of its rows; a column that is not there is empty.
    notes : list of str
        How it was understood, where it is not plain MovieLens.
    missing : tuple of str
        Wanted columns that are not there.
    """

    lines: Lines
    records: Iterator[Record]
    notes: list[str]
    missing: tuple[str, ...] = ()


def read_table(file: InputFile, wanted: Sequence[Column], bad: BadRows) -> Table:
    """Read a CSV file with a header; it may be empty.

    Raises
    ------
    DataError
        When the header lacks a column.
    """
    lines = read_lines(file)
    start = next((i for i, text in enumerate(lines.lines) if text.strip()), None)
    if start is None:
        return Table(lines, iter(()), file.notes())
    header = read_header(file.name, lines.lines[start], wanted)
    records = _csv_records(file, lines, header, start + 1, bad)
    missing = zip(header.wanted, header.positions, strict=True)
    return Table(
        lines, records, file.notes() + header.notes, tuple(name for name, at in missing if at is None)
    )


def separated_records(
    file: InputFile, lines: Lines, separator: str, n_fields: int, bad: BadRows
) -> Iterator[Record]:
    """Split each line at a separator that cannot be quoted."""
    for number, text in enumerate(lines.lines, start=1):
        if not text.strip():
            continue
        fields = text.rstrip("\r\n").split(separator)
        if len(fields) == n_fields:
            yield Record(fields, number, number)
        else:
            bad.add(file.name, number, f"{len(fields)} fields instead of {n_fields}")


def _csv_records(file: InputFile, lines: Lines, header: Header, start: int, bad: BadRows) -> Iterator[Record]:
    """Read the wanted columns of the rows of a CSV file.

    A row that is not CSV costs only its first line: an opening quote that is never closed does not swallow
    the rest of the file.
    """
    n_fields = header.n_fields
    while start < len(lines.lines):
        rest = map(lines.lines.__getitem__, range(start, len(lines.lines)))
        reader = csv.reader(rest, delimiter=header.separator, strict=True)
        ended = 0
        reason = ""
        try:
            for fields in reader:
                began, ended = ended, reader.line_num
                if len(fields) == n_fields:
                    chosen = ["" if i is None else fields[i] for i in header.positions]
                    yield Record(chosen, start + began + 1, start + ended)
                elif len(fields) > 1 or (fields and fields[0].strip()):
                    ended, reason = began, f"{len(fields)} fields instead of {n_fields}"
                    break
        except csv.Error as error:
            reason = not_csv(error)
        if not reason:
            return
        bad.add(file.name, start + ended + 1, reason)
        start += ended + 1


def _split(text: str) -> list[str]:
    # str.splitlines would also split at characters that may stand in a title, such as U+2028.
    return list(io.StringIO(text, newline="\n"))
