"""Draws the statistics of a data set as pages of plots."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from shared.datasets.model import Dataset
from worker.exploration.movie_statistics import MovieStatistics
from worker.exploration.panels import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    TEAL,
    at_least,
    logarithmic,
    page,
    plain,
    style,
    thousands,
)
from worker.exploration.rating_statistics import RatingStatistics
from worker.exploration.text import counted

MAX_GENRES = 20
"""Genres on a plot, the most frequent ones."""

_SHARES = LinearSegmentedColormap.from_list("shares", ["#f7f9fb", "#9cc3e6", BLUE, "#173a63"])


def plot_movies(dataset: Dataset, statistics: MovieStatistics) -> Figure:
    """Draw genres per movie, movies per year, genre counts and the genres that go together."""
    years = statistics.years
    span = f", {years.min:.0f} to {years.max:.0f}" if years is not None else ""
    figure = page(
        f"{dataset.name}: movies",
        f"{counted(statistics.n_movies, 'movie')}{span}, {counted(len(statistics.genres), 'genre')};"
        f" without a year: {statistics.n_without_year:,}, without genres: {statistics.n_without_genres:,}",
    )
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 1.65], width_ratios=[1, 1.35])
    _genres_per_movie(figure.add_subplot(grid[0, 0]), statistics)
    _movies_per_year(figure.add_subplot(grid[0, 1]), statistics)
    _genre_counts(figure.add_subplot(grid[1, 0]), statistics)
    _co_occurrence(figure.add_subplot(grid[1, 1]), statistics)
    return figure


def plot_ratings(dataset: Dataset, statistics: RatingStatistics) -> Figure:
    """Draw the ratings, the mean scores of movies against their votes, and votes per user and movie."""
    figure = page(
        f"{dataset.name}: ratings",
        f"{counted(statistics.n_ratings, 'rating')} of {counted(statistics.n_rated_movies, 'movie')}"
        f" by {counted(statistics.n_users, 'user')}",
    )
    grid = figure.add_gridspec(2, 2)
    _ratings(figure.add_subplot(grid[0, 0]), statistics)
    _scores(figure.add_subplot(grid[0, 1]), statistics)
    _votes(figure.add_subplot(grid[1, 0]), statistics.user_votes, "user", BLUE)
    _votes(figure.add_subplot(grid[1, 1]), statistics.movie_votes, "movie", TEAL)
    return figure


def _genres_per_movie(axes: Axes, statistics: MovieStatistics) -> None:
    genres, movies = np.array(statistics.genres_per_movie_counts).T
    style(axes, "Genres per movie", "genres of a movie", "movies")
    bars = axes.bar(genres, movies, width=0.8, color=BLUE)
    if len(genres) <= 12:
        axes.bar_label(bars, [f"{count:,}" for count in movies], padding=2, size=9, color=MUTED)
    axes.set_xlim(genres[0] - 0.6, genres[-1] + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    thousands(axes, "y")
    summary = statistics.genres_per_movie
    _note(axes, f"mean {summary.mean:.2f}", f"median {summary.median:g}", f"std {summary.std:.2f}")


def _movies_per_year(axes: Axes, statistics: MovieStatistics) -> None:
    style(axes, "Movies per year", "year", "movies")
    if statistics.years is None:
        _empty(axes, "no movie has a year")
        return
    years, movies = np.array(statistics.movies_by_year).T
    axes.bar(years, movies, width=0.9, color=TEAL, linewidth=0)
    axes.set_xlim(years[0] - 1, years[-1] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    thousands(axes, "y")
    summary = statistics.years
    _note(axes, f"mean {summary.mean:.1f}", f"median {summary.median:.10g}", f"std {summary.std:.1f}")


def _genre_counts(axes: Axes, statistics: MovieStatistics) -> None:
    shown = statistics.genres[:MAX_GENRES]
    left_out = len(statistics.genres) - len(shown)
    title = f"The {len(shown)} most frequent of {len(statistics.genres):,} genres" if left_out else "Genres"
    style(axes, title, "movies (a movie counts for each of its genres)", "", grid="x")
    if not shown:
        _empty(axes, "no movie lists a genre")
        return
    counts = statistics.genre_counts[:MAX_GENRES]
    bars = axes.barh(np.arange(len(shown)), counts, height=0.74, color=BLUE)
    labels = [f"{count:,}  ({count / statistics.n_movies:.0%})" for count in counts]
    axes.bar_label(bars, labels, padding=4, size=9, color=MUTED)
    axes.set_yticks(np.arange(len(shown)), [plain(name) for name in shown], parse_math=False, color=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, max(counts) * 1.22)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    thousands(axes, "x")


def _co_occurrence(axes: Axes, statistics: MovieStatistics) -> None:
    style(axes, "Of the movies of a genre, how many per cent are also …", "", "", grid="none")
    axes.spines["bottom"].set_visible(False)
    names = [plain(name) for name in statistics.genres[:MAX_GENRES]]
    if len(names) < 2:
        _empty(axes, "fewer than two genres")
        return
    together = statistics.co_occurrence[: len(names), : len(names)].astype(np.float64)
    shares = 100 * together / together.diagonal()[:, np.newaxis]
    np.fill_diagonal(shares, np.nan)
    largest = max(float(np.nanmax(shares)), 1.0)
    axes.imshow(shares, cmap=_SHARES, vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = "white" if share > 0.5 * largest else INK
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=8.5, color=color)
    ticks = np.arange(len(names))
    axes.set_yticks(ticks, names, parse_math=False, color=INK)
    axes.set_xticks(
        ticks, names, parse_math=False, color=INK, rotation=45, ha="right", rotation_mode="anchor"
    )
    # White lines between the cells
    axes.set_xticks(ticks[1:] - 0.5, minor=True)
    axes.set_yticks(ticks[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)


def _ratings(axes: Axes, statistics: RatingStatistics) -> None:
    style(axes, "Ratings", "rating", "share of all ratings, per cent")
    labels = [row.label for row in statistics.rating_counts]
    shares = [100 * row.count / statistics.n_ratings for row in statistics.rating_counts]
    bars = axes.bar(np.arange(len(labels)), shares, width=0.8, color=ORANGE)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.margins(y=0.12)
    if len(labels) <= 12:
        axes.bar_label(bars, [f"{share:.1f}" for share in shares], padding=2, size=9, color=MUTED)
        axes.set_xticks(np.arange(len(labels)), labels)
    else:
        axes.set_xticks(np.arange(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    summary = statistics.ratings
    _note(axes, f"mean {summary.mean:.2f}", f"median {summary.median:g}", f"std {summary.std:.2f}")


def _scores(axes: Axes, statistics: RatingStatistics) -> None:
    style(axes, "Mean rating of each movie", "votes (logarithmic)", "mean rating", grid="both")
    votes, means = statistics.movie_votes, statistics.movie_means
    # The more movies, the fainter each: 9,000 stay visible and 60,000 still show where most are
    opacity = float(np.clip(12 / np.sqrt(len(votes)), 0.05, 0.6))
    axes.scatter(votes, means, s=16, color=TEAL, alpha=opacity, linewidths=0)
    logarithmic(axes, "x", float(votes.min()), float(votes.max()))
    low, high = statistics.ratings.min, statistics.ratings.max
    pad = 0.06 * (high - low) or 0.5
    axes.set_ylim(low - pad, high + pad)
    axes.axhline(statistics.ratings.mean, color=ORANGE, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.annotate(
        f"mean of all ratings {statistics.ratings.mean:.2f}",
        (1, statistics.ratings.mean),
        xycoords=("axes fraction", "data"),
        xytext=(-4, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        size=10,
        color=ORANGE,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
    )
    axes.axvline(statistics.min_votes, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
    _beside(axes, statistics.min_votes, f"ranked from {statistics.min_votes:,}", MUTED)


def _votes(axes: Axes, votes: NDArray[np.int64], who: str, color: str) -> None:
    style(
        axes,
        f"Votes per {who}",
        "votes (logarithmic)",
        f"{who}s with at least so many (logarithmic)",
        grid="both",
    )
    values, counts = at_least(votes)
    # A line from the left edge, where everyone has at least as many, down to nobody beyond the most
    x = np.concatenate([[0.01], values, [values[-1]]])
    y = np.concatenate([[counts[0]], counts, [0.1]])
    axes.step(x, y, where="pre", color=color, linewidth=2)
    axes.fill_between(x, y, 0.1, step="pre", color=color, alpha=0.14, linewidth=0)
    logarithmic(axes, "x", float(values[0]), float(values[-1]))
    logarithmic(axes, "y", 1, float(counts[0]))
    median, mean = float(np.median(votes)), float(votes.mean())
    _note(axes, f"mean {mean:,.2f}", f"median {median:,.10g}", f"most {values[-1]:,}")
    axes.axvline(median, color=ORANGE, linewidth=1.4, linestyle=(0, (4, 3)))
    _beside(axes, median, "median", ORANGE)


def _beside(axes: Axes, x: float, text: str, color: str) -> None:
    """Write beside the foot of a vertical line."""
    axes.annotate(
        text,
        (x, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(5, 0),
        textcoords="offset points",
        ha="left",
        va="bottom",
        size=10,
        color=color,
    )


def _note(axes: Axes, *figures: str) -> None:
    """Write a few figures to the right of the title, where no data can be."""
    axes.set_title(" · ".join(figures), loc="right", size=10.5, color=MUTED, pad=12)


def _empty(axes: Axes, reason: str) -> None:
    """Say in the middle of a panel why nothing is drawn."""
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", size=12, color=MUTED)
    axes.set_xticks([])
    axes.set_yticks([])
