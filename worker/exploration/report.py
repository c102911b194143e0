"""Writes the statistics of a data set as text."""

from collections.abc import Sequence

import numpy as np

from shared.datasets.model import Dataset
from worker.exploration.movie_statistics import MovieStatistics
from worker.exploration.rating_statistics import (
    MIN_VOTES,
    MIN_VOTES_USERS,
    MovieScore,
    RatingStatistics,
    UserVotes,
)
from worker.exploration.summaries import Summary
from worker.exploration.text import GAP, Column, counted, distribution, heading, more, table

MAX_GENRES = 40
MAX_PAIRS = 30
STD_NOTE = "std is the standard deviation of the population (divided by n)."


def movie_report(dataset: Dataset, statistics: MovieStatistics) -> str:
    """Render what is in the movies of a data set.

    Returns
    -------
    str
        Lines of at most :data:`worker.exploration.text.WIDTH` terminal cells, with a line end at the end.
    """
    n_movies = statistics.n_movies
    sections = [
        [
            *heading(f"{dataset.name}: movies", "═"),
            *_sizes(dataset),
            STD_NOTE,
        ],
        [
            *heading("Genres per movie"),
            *_summary(statistics.genres_per_movie),
            f"{GAP}Movies without genres, counted as 0: {statistics.n_without_genres:,}",
            "",
            *distribution(
                (Column("genres"), Column("movies")),
                [(f"{genres:,}", count) for genres, count in statistics.genres_per_movie_counts],
                n_movies,
            ),
        ],
        _years(statistics),
        [
            *heading(f"Genres ({len(statistics.genres):,})"),
            *(
                [
                    f"{GAP}Shares are of all movies; a movie counts for each of its genres.",
                    "",
                    *distribution(
                        (Column("genre", "left"), Column("movies")),
                        list(zip(statistics.genres, statistics.genre_counts, strict=True)),
                        n_movies,
                        MAX_GENRES,
                    ),
                ]
                if statistics.genres
                else [f"{GAP}No movie lists a genre."]
            ),
        ],
        _pairs(statistics),
    ]
    return _join(sections)


def rating_report(dataset: Dataset, statistics: RatingStatistics) -> str:
    """Render what is in the ratings of a data set.

    Returns
    -------
    str
        Lines of at most :data:`worker.exploration.text.WIDTH` terminal cells, with a line end at the end.
    """
    sections = [
        [
            *heading(f"{dataset.name}: ratings", "═"),
            *_sizes(dataset),
            STD_NOTE + " Ties are listed by ascending id.",
        ],
        _overview(statistics),
        [
            *heading("Ratings"),
            *_summary(statistics.ratings),
            "",
            *distribution(
                (Column("rating"), Column("ratings")),
                [(row.label, row.count) for row in statistics.rating_counts],
                statistics.n_ratings,
            ),
        ],
        [
            *heading("Votes per user"),
            *_summary(statistics.votes_per_user),
            "",
            *distribution(
                (Column("votes"), Column("users")),
                [(row.label, row.count) for row in statistics.user_vote_counts],
                statistics.n_users,
            ),
            "",
            *_users("Most active users", statistics.most_active),
            "",
            *_users("Least active users", statistics.least_active),
        ],
        [
            *heading("Votes per movie"),
            *_summary(statistics.votes_per_movie),
            f"{GAP}Of the rated movies; without any vote: {statistics.n_unrated_movies:,}",
            "",
            *distribution(
                (Column("votes"), Column("movies")),
                [(row.label, row.count) for row in statistics.movie_vote_counts],
                statistics.n_rated_movies,
            ),
            "",
            *_movies("Movies with the most votes", statistics.most_voted),
            "",
            *_movies("Movies with the fewest votes", statistics.least_voted),
        ],
        _best_naive(statistics),
        _best(statistics),
    ]
    return _join(sections)


def _join(sections: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _sizes(dataset: Dataset) -> list[str]:
    """Return the sizes of a data set, and what its reader noticed, if anything."""
    report = dataset.report
    notes = [
        (report.n_bad_rows, "bad rows skipped"),
        (report.n_duplicate_ratings, "older ratings of the same movie by the same user dropped"),
        (report.n_unlisted_movies, "movies not in the movies file, shown with a placeholder"),
        (report.n_repaired_titles, "titles that were not UTF-8, read as Windows-1252"),
    ]
    return [
        ", ".join(
            [
                counted(len(dataset.movies), "movie"),
                counted(len(dataset.ratings), "rating"),
                counted(len(dataset.tags), "tag"),
            ]
        ),
        *(f"{count:,} {what}" for count, what in notes if count),
    ]


def _summary(summary: Summary, thousands: str = ",") -> list[str]:
    """Return the five figures under their names; years go without a thousands separator."""
    # Votes and years are whole and stay so; half stars show decimals in all three
    whole = summary.min == round(summary.min) and summary.max == round(summary.max)
    median_whole = whole and summary.median == round(summary.median)
    figures = [
        (summary.min, whole),
        (summary.max, whole),
        (summary.mean, False),
        (summary.median, median_whole),
        (summary.std, False),
    ]
    return table(
        [Column(name) for name in ("min", "max", "mean", "median", "std")],
        [[f"{number:{thousands}.{0 if integer else 2}f}" for number, integer in figures]],
    )


def _years(statistics: MovieStatistics) -> list[str]:
    without = f"{GAP}Movies without a year, left out here: {statistics.n_without_year:,}"
    if statistics.years is None:
        return [*heading("Years"), without]
    return [
        *heading("Years"),
        *_summary(statistics.years, thousands=""),
        without,
        "",
        *distribution(
            (Column("year"), Column("movies")),
            [(str(year), count) for year, count in statistics.movies_by_year],
            statistics.n_movies - statistics.n_without_year,
        ),
    ]


def _pairs(statistics: MovieStatistics) -> list[str]:
    title = heading(f"Genres that occur together ({counted(len(statistics.genre_pairs), 'pair')})")
    if not statistics.genre_pairs:
        return [*title, f"{GAP}No movie lists two genres."]
    shown = statistics.genre_pairs[:MAX_PAIRS]
    return [
        *title,
        f"{GAP}lift: how many times as often as if genres were dealt out independently.",
        "",
        *table(
            [
                Column("genre", "left"),
                Column("with", "left"),
                Column("movies"),
                Column("share"),
                Column("lift"),
            ],
            [
                [
                    pair.first,
                    pair.second,
                    f"{pair.count:,}",
                    f"{pair.count / statistics.n_movies:.1%}",
                    f"{pair.lift:,.2f}",
                ]
                for pair in shown
            ],
        ),
        *more(len(statistics.genre_pairs) - len(shown)),
    ]


def _overview(statistics: RatingStatistics) -> list[str]:
    return [
        *heading("Overview"),
        *table(
            [Column("", "left"), Column("")],
            [
                ["users", f"{statistics.n_users:,}"],
                ["rated movies", f"{statistics.n_rated_movies:,}"],
                ["movies without a rating", f"{statistics.n_unrated_movies:,}"],
                ["ratings", f"{statistics.n_ratings:,}"],
                ["share of user and movie pairs rated", f"{statistics.density:.3%}"],
                ["first rating (UTC)", _moment(statistics.first)],
                ["last rating (UTC)", _moment(statistics.last)],
            ],
        )[1:],
    ]


def _moment(timestamp: int) -> str:
    return str(np.datetime64(timestamp, "s")).replace("T", " ")


def _users(title: str, users: Sequence[UserVotes]) -> list[str]:
    return [
        f"{GAP}{title}",
        *table([Column("user"), Column("votes")], [[str(user.user_id), f"{user.votes:,}"] for user in users]),
    ]


def _movies(title: str, movies: Sequence[MovieScore]) -> list[str]:
    return [
        f"{GAP}{title}",
        *table(
            [Column("movie"), Column("title", "left"), Column("votes"), Column("mean")],
            [[str(movie.movie_id), movie.title, f"{movie.votes:,}", f"{movie.mean:.3f}"] for movie in movies],
        ),
    ]


def _best_naive(statistics: RatingStatistics) -> list[str]:
    top, bottom = statistics.best_naive[0].mean, statistics.worst_naive[0].mean
    n_top = int(np.count_nonzero(statistics.movie_means == top))
    n_bottom = int(np.count_nonzero(statistics.movie_means == bottom))
    return [
        *heading("Best and worst movies, whatever their number of votes"),
        f"{GAP}Movies with a mean of {top:.3f}: {n_top:,}; of {bottom:.3f}: {n_bottom:,}.",
        f"{GAP}A single vote is enough to be here, so this says little; see the next section.",
        "",
        *_movies("Best", statistics.best_naive),
        "",
        *_movies("Worst", statistics.worst_naive),
    ]


def _best(statistics: RatingStatistics) -> list[str]:
    return [
        *heading(f"Best and worst movies with at least {counted(statistics.min_votes, 'vote')}"),
        f"{GAP}Movies that have them: {statistics.n_eligible:,} of {statistics.n_rated_movies:,}.",
        f"{GAP}The minimum is {MIN_VOTES} votes, or one for each {MIN_VOTES_USERS:,} users if that is more;"
        " where fewer than",
        f"{GAP}20 movies have as many, it is what the 20th most voted (or else the least voted) movie has.",
        "",
        *_movies("Best", statistics.best),
        "",
        *_movies("Worst", statistics.worst),
    ]
