"""Finds out what the numbers in a file mean: the scale of its ratings, the unit of its times.

Neither stands in the file, so both are judged by all of its numbers, once they are read. A reading is taken
when more than half of the numbers need it and no other one fits; numbers that at most one in a hundred needs
are bad rows; anything between is asked for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.datasets.options import MAX_RATING, MAX_TIMESTAMP, MIN_RATING, UNITS, Scale, TimeUnit
from shared.errors import DataError

_FEW = 0.01
_MOST = 0.5
_OPTION_OF = "movierec data import"


@dataclass(frozen=True)
class Meaning:
    """How numbers are understood; None for what is not known yet, when any number is read."""

    scale: Scale | None
    unit: TimeUnit | None


def judge_scale(file: str, ratings: npt.NDArray[np.float64]) -> Scale:
    """Tell the scale from all ratings of a file.

    Raises
    ------
    DataError
        When two scales fit; it names them and the option that decides.
    """
    if not len(ratings) or (ratings.min() >= MIN_RATING and ratings.max() <= MAX_RATING):
        return Scale.FIVE
    # What is outside of every scale is a bad row on each.
    ratings = ratings[(ratings >= 0) & (ratings <= 100)]
    for lower, higher in ((Scale.ZERO_TEN, Scale.ZERO_HUNDRED), (Scale.FIVE, Scale.ZERO_TEN)):
        most = lower.bounds[1]
        above = ratings > most
        if _share(above) > _MOST:
            return _judge_zeros(file, ratings, higher)
        if _share(above) > _FEW:
            raise _doubt(
                f"{file}: {_count(above)} ratings are above {most:g}. Either they are mistakes, or the scale "
                f"ends at {higher.bounds[1]:g}",
                f"--scale {lower.value} or --scale {higher.value}",
            )
        ratings = ratings[~above]
    return _judge_zeros(file, ratings, Scale.FIVE)


def _judge_zeros(file: str, ratings: npt.NDArray[np.float64], scale: Scale) -> Scale:
    zeros = ratings == 0
    # On MovieLens' own scale a few are bad rows, as they have always been.
    if _share(zeros) > (_FEW if scale is Scale.FIVE else 0):
        most = f"{scale.bounds[1]:g}"
        raise _doubt(
            f"{file}: {_count(zeros)} ratings are 0. Either that is the lowest rating, or it stands for none",
            f"--scale 0-{most} (the lowest) or --scale 1-{most} (none: such rows are bad)",
        )
    return scale


def judge_unit(file: str, timestamps: npt.NDArray[np.int64]) -> TimeUnit:
    """Tell the unit of time from all timestamps of a file.

    Raises
    ------
    DataError
        When two units fit, or none; it names the option that decides.
    """
    if not len(timestamps) or timestamps.max() <= MAX_TIMESTAMP:
        return TimeUnit.SECONDS
    timestamps = timestamps[timestamps >= 0]
    late = timestamps > MAX_TIMESTAMP
    if _share(late) <= _FEW:
        return TimeUnit.SECONDS
    coarser = TimeUnit.SECONDS
    for unit in UNITS[1:]:
        # From 1990 to 2100 is less than a factor of a thousand: only one unit fits all.
        if late.all() and timestamps.min() > coarser.most and timestamps.max() <= unit.most:
            return unit
        coarser = unit
    raise _doubt(
        f"{file}: {_count(late)} timestamps are after the year 2100 if they are seconds, "
        "and no unit puts all of them before it",
        "--timestamps s, ms, us or ns (those that do not fit are bad rows), or none (the order of lines)",
    )


def time_note(unit: TimeUnit, *, dates: bool) -> str:
    """Tell what a report says of the times of a file; empty for seconds."""
    if dates:
        return "timestamps are dates, UTC where no zone is named"
    if unit is TimeUnit.NONE:
        return "no timestamps: order of lines"
    return "" if unit is TimeUnit.SECONDS else f"timestamps in {unit.noun}"


def to_stars(ratings: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float32]:
    """Turn ratings on a scale into MovieLens' stars."""
    if scale is not Scale.FIVE:
        ratings = np.maximum(ratings / scale.divisor, MIN_RATING)
    return ratings.astype(np.float32)


def _share(which: npt.NDArray[np.bool_]) -> float:
    return float(which.mean()) if len(which) else 0.0


def _count(which: npt.NDArray[np.bool_]) -> str:
    return f"{int(which.sum()):,} of {len(which):,}"


def _doubt(what: str, options: str) -> DataError:
    return DataError(f"{what}. Say which with {_OPTION_OF} and {options}.")
