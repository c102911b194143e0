"""Summarises a column of numbers, and counts its distribution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DISTINCT_VALUES = 20
"""Up to so many distinct ratings are listed one by one; more are put into as many bins of equal width."""


@dataclass(frozen=True)
class Summary:
    """Summary of a column of numbers.

    Attributes
    ----------
    min, max, mean, median : float
        As the names say; the median of an even number of values is the mean of the middle two.
    std : float
        Standard deviation of the population (divided by n, not n - 1): a report describes the whole data
        set and not a sample of it, and a single value has a deviation of 0.
    """

    min: float
    max: float
    mean: float
    median: float
    std: float


@dataclass(frozen=True)
class Bin:
    """One row of a distribution: what is counted, and how often it occurs."""

    label: str
    count: int


def summarise(values: NDArray[Any]) -> Summary:
    """Summarise a column of numbers.

    Parameters
    ----------
    values : ndarray, shape (n,), n >= 1
        Numbers of any type; computed in float64.

    Returns
    -------
    Summary
        The five figures.
    """
    numbers = values.astype(np.float64)
    return Summary(
        min=float(numbers.min()),
        max=float(numbers.max()),
        mean=float(numbers.mean()),
        median=float(np.median(numbers)),
        std=float(numbers.std()),
    )


def count_values(values: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Count integers: each that occurs with its frequency, ascending."""
    distinct, counts = np.unique(values, return_counts=True)
    return tuple((int(value), int(count)) for value, count in zip(distinct, counts, strict=True))


def count_votes(votes: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Distribute numbers of votes over bins that grow as 1, 2, 5, 10, 20, 50, ...

    Parameters
    ----------
    votes : ndarray of int64, shape (n,), n >= 1
        Numbers of votes, each at least 1.

    Returns
    -------
    tuple of Bin
        From the first bin that is not empty to the last: ``1``, ``2``, ``3–5``, ``6–10``, ``11–20``, ...
    """
    most = int(votes.max())
    uppers = [1]
    while uppers[-1] < most:
        # 1 -> 2 -> 5 -> 10: the leading digit says which step comes next
        uppers.append(uppers[-1] * 5 // 2 if str(uppers[-1])[0] == "2" else uppers[-1] * 2)
    lowers = [1, *(upper + 1 for upper in uppers[:-1])]
    counts = np.bincount(np.searchsorted(uppers, votes), minlength=len(uppers))
    first = int(np.flatnonzero(counts)[0])
    return tuple(
        Bin(f"{low:,}" if low == high else f"{low:,}–{high:,}", int(count))
        for low, high, count in list(zip(lowers, uppers, counts, strict=True))[first:]
    )


def count_ratings(ratings: NDArray[np.float32]) -> tuple[Bin, ...]:
    """Count how often each rating was given, ascending.

    MovieLens has five or ten values. Data with more than :data:`MAX_DISTINCT_VALUES` is put into bins of
    equal width, each with its lower end and the last with both ends.
    """
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= MAX_DISTINCT_VALUES:
        # Half stars all show the decimal, whole stars none
        form = ".0f" if np.all(values == np.round(values)) else ".1f"
        if np.any(np.abs(values * 10 - np.round(values * 10)) > 1e-3):
            form = ".6g"
        return tuple(
            Bin(f"{value:{form}}", int(count)) for value, count in zip(values.tolist(), counts, strict=True)
        )
    edges = np.linspace(float(values[0]), float(values[-1]), MAX_DISTINCT_VALUES + 1)
    per_bin, _ = np.histogram(values.astype(np.float64), bins=edges, weights=counts)
    return tuple(
        Bin(f"{low:.4g}–{high:.4g}", int(count))
        for low, high, count in zip(edges[:-1], edges[1:], per_bin, strict=True)
    )
