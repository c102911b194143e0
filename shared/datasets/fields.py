"""Checks single fields, and lists the rows that failed."""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.contract.kinds import MAX_ID, MIN_ID
from shared.datasets.options import Scale, TimeUnit
from shared.errors import BadRow, BadRowsError

MAX_SHOWN_ROWS = 10
"""How many bad rows are kept with their reason; the others are only counted."""

MAX_EXACT = 2**53
"""Whole numbers below it are exact as floating point."""

_MAX_BIGINT = 2**63 - 1

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_THOUSANDS = re.compile(rb",[0-9]{3}(?![0-9])")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?)?"
    r" ?(?P<zone>Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?"
)
_NO_FOREIGN_ID = frozenset(("", "nan", "null", "none", "na", "n/a", "<na>", r"\n"))
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

    def extend(self, other: "BadRows") -> None:
        """Add the rows of another list."""
        self.total += other.total
        self.rows.extend(other.rows[: MAX_SHOWN_ROWS - len(self.rows)])

    def raise_if_any(self) -> None:
        """Raise :class:`~shared.errors.BadRowsError` unless every row was good."""
        if self.total:
            raise BadRowsError(self.rows, self.total)


def shown(text: str) -> str:
    """Quote a value for a message: printable, and cut when it is long."""
    return ascii(text) if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]!a}..."


def whole_number(name: str, text: str) -> int:
    """Read a whole number that fits 64 bits, also as floating point is written.

    >>> [whole_number("userId", text) for text in ("7", "7.0", "7,0", "7e3")]
    [7, 7, 7, 7000]
    """
    text = text.strip(" \t\r")
    if "," in text and not may_be_thousands(text.encode()):
        text = text.replace(",", ".")
    if _WHOLE.fullmatch(text):
        number = int(text)
        if abs(number) <= _MAX_BIGINT:
            return number
    elif _NUMBER.fullmatch(text):
        value = float(text)
        if abs(value) < MAX_EXACT and value.is_integer():
            return int(value)
    raise FieldError(f"{name} is not a whole number: {shown(text)}")


def may_be_thousands(text: bytes) -> bool:
    """Tell whether a comma may stand between thousands: then it is no decimal comma of a whole number."""
    return _THOUSANDS.search(text) is not None


def identifier(name: str, text: str) -> int:
    """Read a user or movie id."""
    number = whole_number(name, text)
    if not MIN_ID <= number <= MAX_ID:
        raise FieldError(f"{name} is not between {MIN_ID} and {MAX_ID}: {number}")
    return number


def foreign_id(name: str, text: str) -> int | None:
    """Read the id of a movie elsewhere, with or without IMDb's ``tt``; None for what stands for none.

    >>> foreign_id("imdbId", "tt0114709"), foreign_id("tmdbId", "862.0"), foreign_id("tmdbId", "NULL")
    (114709, 862, None)
    """
    text = text.strip()
    if text.casefold() in _NO_FOREIGN_ID:
        return None
    number = whole_number(name, text[2:] if text[:2].casefold() == "tt" else text)
    if not 0 <= number <= MAX_ID:
        raise FieldError(f"{name} is not between 0 and {MAX_ID}: {number}")
    return number


def rating_value(text: str, scale: Scale | None) -> float:
    """Read a rating on a scale, or any number while the scale is not known."""
    text = text.strip(" \t\r")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise FieldError(f"rating is not finite: {shown(text)}")
    number = text.replace(",", ".")
    if not _NUMBER.fullmatch(number):
        raise FieldError(f"rating is not a number: {shown(text)}")
    rating = float(number)
    if scale is None:
        if not math.isfinite(rating):
            raise FieldError(f"rating is not finite: {shown(text)}")
    elif not scale.bounds[0] <= rating <= scale.bounds[1]:
        least, most = scale.bounds
        raise FieldError(f"rating is not between {least} and {most}: {shown(text)}")
    return rating


def timestamp_value(text: str, unit: TimeUnit | None) -> int:
    """Read a time as a number of its unit, or any whole number while the unit is not known."""
    timestamp = whole_number("timestamp", text)
    if unit is not None:
        check_timestamp(timestamp, unit)
    return timestamp


def check_timestamp(timestamp: int, unit: TimeUnit) -> None:
    """Refuse a time before 1970 or after 2100."""
    if timestamp < 0:
        raise FieldError(f"timestamp is negative: {timestamp}")
    if timestamp > unit.most:
        raise FieldError(f"timestamp is after the year 2100: {timestamp} ({unit.noun} are expected)")


def date_value(text: str) -> int:
    """Read a date of ISO 8601, with or without a time and a zone (UTC without), as seconds since 1970.

    >>> date_value("1970-01-02"), date_value("1970-01-02 01:00:00+01:00")
    (86400, 86400)
    """
    text = text.strip(" \t\r")
    try:
        if not is_date(text):
            raise ValueError
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
    except ValueError:
        raise FieldError(f"timestamp is not a date of ISO 8601: {shown(text)}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = math.floor(moment.timestamp())
    if seconds < 0:
        raise FieldError(f"timestamp is before 1970: {shown(text)}")
    if seconds > TimeUnit.SECONDS.most:
        raise FieldError(f"timestamp is after the year 2100: {shown(text)}")
    return seconds


def is_date(text: str) -> bool:
    """Tell whether a field looks like a date of ISO 8601."""
    return _DATE.fullmatch(text.strip(" \t\r")) is not None


def has_zone(text: str) -> bool:
    """Tell whether a date names its time zone."""
    match = _DATE.fullmatch(text.strip(" \t\r"))
    return match is not None and match["zone"] is not None


def text_value(name: str, text: str) -> str:
    """Read a text that must not be empty, without the white space around it."""
    text = text.strip()
    if not text:
        raise FieldError(f"{name} is empty")
    if "\0" in text:
        raise FieldError(f"{name} contains a NUL character: {shown(text)}")
    return text
