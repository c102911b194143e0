"""Draws what all plots share: colours, axes, a page of panels, and its PNG.

Figures are made without pyplot, so that nothing global is changed and no display is needed.
"""

import warnings
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
BLUE, TEAL, ORANGE = "#2f6fb5", "#1b998b", "#e4572e"
SIZE_INCHES = (15.0, 11.0)
DPI = 120
MAX_LABEL = 24
"""Characters of the longest name on an axis."""


def page(title: str, subtitle: str) -> Figure:
    """Return an empty page with a title and the sizes of the data set under it."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.012, 0.012, 0.976, 0.908), h_pad=0.12, w_pad=0.14)  # type: ignore[call-arg]
    figure.text(0.02, 0.966, plain(title, 60), size=20, weight="bold", color=INK, parse_math=False)
    figure.text(0.02, 0.940, subtitle, size=12, color=MUTED)
    return figure


def style(axes: Axes, title: str, x_label: str, y_label: str, grid: str = "y") -> None:
    """Give a panel its title, its labels and a quiet frame."""
    axes.set_title(title, loc="left", size=13, weight="bold", color=INK, pad=12)
    axes.set_xlabel(x_label, size=11, color=MUTED, labelpad=6)
    axes.set_ylabel(y_label, size=11, color=MUTED, labelpad=6)
    axes.tick_params(colors=MUTED, labelsize=10, length=0, which="both")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.set_axisbelow(True)
    if grid in {"both", "x"}:
        axes.xaxis.grid(True, color=GRID, linewidth=0.8)
    if grid in {"both", "y"}:
        axes.yaxis.grid(True, color=GRID, linewidth=0.8)


def thousands(axes: Axes, *names: str) -> None:
    """Write the numbers of the named axes (``"x"``, ``"y"``) with thousands separators."""
    for name in names:
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def logarithmic(axes: Axes, name: str, smallest: float, largest: float) -> None:
    """Make an axis logarithmic, from just under the power of ten below the data to just over the data."""
    low = 10.0 ** np.floor(np.log10(smallest))
    limits = (0.85 * low, max(10 * low, 1.25 * largest))
    if name == "x":
        axes.set_xscale("log")
        axes.set_xlim(limits)
    else:
        axes.set_yscale("log")
        axes.set_ylim(limits)
    thousands(axes, name)


def at_least(votes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each number of votes that occurs, and how many have at least as many, both ascending in votes.

    Examples
    --------
    >>> [column.tolist() for column in at_least(np.array([5, 1, 1]))]
    [[1, 5], [3, 1]]
    """
    values, counts = np.unique(votes, return_counts=True)
    return values, counts[::-1].cumsum()[::-1]


def plain(name: str, width: int = MAX_LABEL) -> str:
    """Return a name fit for an axis: one line, no control characters, not too long."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return printable if len(printable) <= width else printable[: width - 1].rstrip() + "…"


def png(figure: Figure) -> bytes:
    """Render a page as the bytes of a PNG file."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # A genre in a script that the font does not have is drawn as boxes; that is no reason to fail
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
