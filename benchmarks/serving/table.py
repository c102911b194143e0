"""Measurements as tables."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Mark:
    """The target of a figure.

    Attributes
    ----------
    bound : {">=", "<=", "<", "="}
        Relation of the figure to the limit.
    limit : float
        The limit.
    """

    bound: Literal[">=", "<=", "<", "="]
    limit: float

    def reached(self, value: float) -> bool:
        """Tell whether a value reaches the target."""
        return {
            ">=": value >= self.limit,
            "<=": value <= self.limit,
            "<": value < self.limit,
            "=": value == self.limit,
        }[self.bound]

    def __str__(self) -> str:
        return f"{self.bound} {self.limit:,g}"


@dataclass(frozen=True)
class Row:
    """A figure and its comparison.

    Attributes
    ----------
    what : str
        What was measured.
    value : float
        Median of the runs.
    unit : str
        Unit of the value.
    against : str
        The other side, empty if there is none.
    other : float or None
        Its value, the median of its runs.
    other_unit : str
        Unit of the other value; empty if it is the same.
    mark : Mark or None
        Target of the ratio, or of the value if there is no other side.
    runs, other_runs : list of float
        All runs of both sides.
    """

    what: str
    value: float
    unit: str
    against: str = ""
    other: float | None = None
    other_unit: str = ""
    mark: Mark | None = None
    runs: list[float] = field(default_factory=list)
    other_runs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Value divided by the other value."""
        return self.value / self.other if self.other else None

    @property
    def ok(self) -> bool | None:
        """Whether the mark is reached, None without one."""
        if self.mark is None:
            return None
        return self.mark.reached(self.value if self.other is None else self.ratio or 0.0)


@dataclass
class Group:
    """Rows that belong together.

    Attributes
    ----------
    name : str
        Of the measurement.
    title : str
        What was measured, and how.
    rows : list of Row
        The figures.
    notes : list of str
        What else was seen, and what the limit was.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return what the JSON file says."""
        rows = [
            asdict(row) | {"mark": str(row.mark or ""), "ratio": row.ratio, "ok": row.ok} for row in self.rows
        ]
        return {"name": self.name, "title": self.title, "rows": rows, "notes": self.notes}


_WHAT, _VALUE, _UNIT, _AGAINST, _RATIO, _MARK, _OK = 44, 10, 15, 42, 8, 9, 3
_WIDTH = _WHAT + _VALUE + 1 + _UNIT + _AGAINST + _RATIO + 2 + _MARK + _OK


def render(head: Sequence[str], groups: Sequence[Group]) -> str:
    """Return the tables."""
    lines = [*(_wrapped(line) for line in head), ""]
    lines.append(
        f"{'':<{_WHAT}}{'value':>{_VALUE}} {'unit':<{_UNIT}}{'against':<{_AGAINST}}"
        f"{'ratio':>{_RATIO}}  {'mark':<{_MARK}}ok?"
    )
    for group in groups:
        lines += ["", _wrapped(group.title)]
        lines += [_line(row) for row in group.rows]
        lines += [_wrapped(f"  * {note}", "    ") for note in group.notes]
    marked = [row for group in groups for row in group.rows if row.ok is not None]
    lines += ["", f"{sum(row.ok is True for row in marked)} of {len(marked)} marks reached."]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent)


def _line(row: Row) -> str:
    against = ""
    if row.other is not None:
        against = f"{row.against}: {number(row.other)} {row.other_unit or row.unit}"
    ratio = "" if row.ratio is None else f"{number(row.ratio)}x"
    verdict = {True: "yes", False: "NO", None: ""}[row.ok]
    return (
        f"  {row.what:<{_WHAT - 2}}{number(row.value):>{_VALUE}} {row.unit:<{_UNIT}}{against:<{_AGAINST}}"
        f"{ratio:>{_RATIO}}  {row.mark or ''!s:<{_MARK}}{verdict}"
    ).rstrip()


def number(value: float) -> str:
    """Return a number with three digits or so."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
