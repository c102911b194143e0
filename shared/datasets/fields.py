"""Checks of single fields, and the list of rows that failed them."""

import re
from dataclasses import dataclass, field

from shared.contract import MAX_ID, MIN_ID
from shared.errors import BadRow, BadRowsError

MIN_RATING, MAX_RATING = 0.5, 5.0

MAX_TIMESTAMP = 4_133_980_799
"""The last second of the year 2100; anything later is milliseconds or a mistake."""

MAX_SHOWN_ROWS = 10
"""How many bad rows are kept with their reason; the others are only counted."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_MAX_SHOWN_LENGTH = 60


class FieldError(ValueError):
    """A field that makes its row a bad row; caught inside this package."""


@dataclass
class BadRows:
    """Rows that were refused so far.

    Attributes
    ----------
    rows : list of BadRow
        The first :data:`MAX_SHOWN_ROWS` of them.
    total : int
        How many there are.
    """

    rows: list[BadRow] = field(default_factory=list)
    total: int = 0

    def add(self, file: str, line: int, reason: str) -> None:
        """Take note of one refused row."""
        self.total += 1
        if len(self.rows) < MAX_SHOWN_ROWS:
            self.rows.append(BadRow(file, line, reason))

    def raise_if_any(self) -> None:
        """Raise :class:`~shared.errors.BadRowsError` unless every row was good."""
        if self.total:
            raise BadRowsError(self.rows, self.total)


def shown(text: str) -> str:
    """Quote a value for a message: printable, and cut when it is long."""
    return ascii(text) if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]!a}..."


def whole_number(name: str, text: str) -> int:
    """Read a whole number of at most 18 digits."""
    text = text.strip(" \t\r")
    if not _WHOLE.fullmatch(text):
        raise FieldError(f"{name} is not a whole number: {shown(text)}")
    return int(text)


def identifier(name: str, text: str) -> int:
    """Read a user or movie id."""
    number = whole_number(name, text)
    if not MIN_ID <= number <= MAX_ID:
        raise FieldError(f"{name} is not between {MIN_ID} and {MAX_ID}: {number}")
    return number


def rating_value(text: str) -> float:
    """Read a rating on the scale."""
    text = text.strip(" \t\r")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise FieldError(f"rating is not finite: {shown(text)}")
    if not _NUMBER.fullmatch(text):
        raise FieldError(f"rating is not a number: {shown(text)}")
    rating = float(text)
    if not MIN_RATING <= rating <= MAX_RATING:
        raise FieldError(f"rating is not between {MIN_RATING} and {MAX_RATING}: {shown(text)}")
    return rating


def timestamp_value(text: str) -> int:
    """Read seconds since 1970."""
    timestamp = whole_number("timestamp", text)
    if timestamp < 0:
        raise FieldError(f"timestamp is negative: {timestamp}")
    if timestamp > MAX_TIMESTAMP:
        raise FieldError(f"timestamp is after the year 2100: {timestamp} (seconds are expected)")
    return timestamp


def text_value(name: str, text: str) -> str:
    """Read a text that must not be empty, without the white space around it."""
    text = text.strip()
    if not text:
        raise FieldError(f"{name} is empty")
    if "\0" in text:
        raise FieldError(f"{name} contains a NUL character: {shown(text)}")
    return text
