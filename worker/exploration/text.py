"""Formats plain text for a terminal: headings, aligned tables, bars of block characters.

Widths are counted in terminal cells, of which a Chinese or Japanese character takes two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size

WIDTH = 100
"""Cells of the longest line."""

GAP = "  "
MAX_TEXT_WIDTH = 56
"""Cells of the longest title or genre in a table; a longer one ends in an ellipsis."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading and the side its cells stand on."""

    heading: str
    align: Literal["left", "right"] = "right"


def fit(text: str, width: int) -> str:
    """Cut a text to a number of cells, with an ellipsis where something is missing.

    Characters that a terminal would obey instead of printing (tabs, line ends, escapes) become blanks.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    if cell_len(printable) <= width:
        return printable
    return set_cell_size(printable, width - 1).rstrip() + "…"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "movie"), counted(9125, "movie")
    ('1 movie', '9,125 movies')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def bar(value: float, largest: float, width: int) -> str:
    """Draw a bar in eighths of a cell.

    Parameters
    ----------
    value, largest : float
        Length of this bar and of the longest, ``0 <= value <= largest``.
    width : int
        Cells of the longest bar.

    Returns
    -------
    str
        At most ``width`` cells; what is more than nothing shows at least the thinnest line.
    """
    if value <= 0:
        return ""
    eighths = min(8 * width, max(1, round(8 * width * value / largest)))
    full, rest = divmod(eighths, 8)
    return "█" * full + _EIGHTHS[rest].strip()


def heading(text: str, rule: str = "─") -> list[str]:
    """Return a heading and the rule under it."""
    title = fit(text, WIDTH)
    return [title, rule * cell_len(title)]


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows under their headings.

    Cells longer than :data:`MAX_TEXT_WIDTH` are cut, and lines never exceed :data:`WIDTH`.
    """
    lines = [[column.heading for column in columns], *rows]
    cells = [[fit(cell, MAX_TEXT_WIDTH) for cell in line] for line in lines]
    widths = [max(cell_len(line[position]) for line in cells) for position in range(len(columns))]
    return [
        fit(
            GAP
            + GAP.join(
                _pad(cell, width, column.align)
                for cell, width, column in zip(line, widths, columns, strict=True)
            ).rstrip(),
            WIDTH,
        )
        for line in cells
    ]


def distribution(
    columns: tuple[Column, Column], counts: Sequence[tuple[str, int]], total: int, max_rows: int | None = None
) -> list[str]:
    """Draw a distribution: a label, a count, its share of the total, and a bar on each line.

    Parameters
    ----------
    columns : pair of Column
        Of the label and of the count.
    counts : sequence of (str, int)
        Label and count, in the order in which they are shown.
    total : int
        What the shares are of.
    max_rows : int, optional
        Rows shown; a last line says how many more there are.

    Returns
    -------
    list of str
        Lines of at most :data:`WIDTH` cells; the bar of the largest count fills the line.
    """
    shown = counts[:max_rows]
    rows = [(label, f"{count:,}", f"{count / total:.1%}") for label, count in shown]
    lines = table([*columns, Column("share")], rows)
    used = max(cell_len(line) for line in lines)
    largest = max((count for _, count in shown), default=0)
    drawn = [
        (line + GAP + bar(count, largest, WIDTH - used - len(GAP))).rstrip()
        for line, (_, count) in zip(lines[1:], shown, strict=True)
    ]
    return [lines[0], *drawn, *more(len(counts) - len(shown))]


def more(n_left: int) -> list[str]:
    """Say how many rows a table leaves out, if any."""
    return [f"{GAP}… and {n_left:,} more"] if n_left > 0 else []


def _pad(cell: str, width: int, align: Literal["left", "right"]) -> str:
    blanks = " " * (width - cell_len(cell))
    return cell + blanks if align == "left" else blanks + cell
