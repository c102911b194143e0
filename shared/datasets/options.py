"""Scales of ratings, units of time, and what a user says about those of a file."""

from dataclasses import dataclass
from enum import StrEnum

MIN_RATING, MAX_RATING = 0.5, 5.0
"""Bounds of a stored rating: MovieLens' stars."""

MAX_TIMESTAMP = 4_133_980_799
"""The last second of the year 2100; anything later is a finer unit or a mistake."""


class Scale(StrEnum):
    """Scales of ratings: the least and the highest one that can be given.

    On a scale from 0 the 0 is the lowest rating; on one from 1 it is no rating, and such rows are bad.
    """

    FIVE = "1-5"
    ZERO_FIVE = "0-5"
    TEN = "1-10"
    ZERO_TEN = "0-10"
    HUNDRED = "1-100"
    ZERO_HUNDRED = "0-100"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the highest rating in the file; half stars are known on MovieLens' own scale."""
        if self is Scale.FIVE:
            return MIN_RATING, MAX_RATING
        least, _, most = self.value.partition("-")
        return float(least), float(most)

    @property
    def divisor(self) -> float:
        """What a rating is divided by to become stars."""
        return self.bounds[1] / MAX_RATING

    @property
    def note(self) -> str:
        """What a report says of it; empty for MovieLens' own."""
        done = {1.0: "0 counts as 0.5", 2.0: "halved", 20.0: "divided by 20, at least 0.5"}[self.divisor]
        return "" if self is Scale.FIVE else f"scale {self.value} {done}"


class TimeUnit(StrEnum):
    """Units of the times in a file, counted since 1970."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    NONE = "none"

    @property
    def noun(self) -> str:
        """Its name."""
        return self.name.lower()

    @property
    def per_second(self) -> int:
        """How many make a second."""
        return 1000 ** UNITS.index(self) if self in UNITS else 1

    @property
    def most(self) -> int:
        """The last moment that is accepted."""
        return MAX_TIMESTAMP * self.per_second


UNITS = (TimeUnit.SECONDS, TimeUnit.MILLISECONDS, TimeUnit.MICROSECONDS, TimeUnit.NANOSECONDS)
"""From coarse to fine, each a thousandth of the one before."""


@dataclass(frozen=True)
class ReadingOptions:
    """What a user says of files that can be read in two ways.

    Attributes
    ----------
    scale : Scale or None
        Of the ratings; None to judge by the numbers.
    timestamps : TimeUnit or None
        Of ratings and tags that have times as numbers; ``TimeUnit.NONE`` not to read any times. None to judge
        by the numbers.
    """

    scale: Scale | None = None
    timestamps: TimeUnit | None = None

    @property
    def key(self) -> str:
        """A text that differs when the meaning of the same files may; empty without options."""
        named = {"scale": self.scale, "timestamps": self.timestamps}
        return " ".join(f"{name}={value}" for name, value in named.items() if value is not None)


NO_OPTIONS = ReadingOptions()
