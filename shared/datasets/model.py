"""A MovieLens data set in memory, whatever its files looked like."""

from dataclasses import dataclass, field

import pandas as pd

from shared.errors import BadRow


@dataclass
class ReadReport:
    """What was noticed while a data set was read.

    Attributes
    ----------
    bad_rows : list of BadRow
        The first rows that were skipped (only with ``skip_bad_rows``).
    n_bad_rows : int
        How many rows were skipped in all.
    n_duplicate_ratings : int
        Ratings dropped because the same user rated the same movie later.
    n_unlisted_movies : int
        Movies that occur in ratings or tags but not in the movies file; each got a placeholder.
    n_repaired_titles : int
        Titles that were not UTF-8 and were read as Windows-1252.
    n_empty_tags : int
        Tags without any text, which were left out.
    unread_links : list of BadRow
        The first rows of links of which an id could not be read, and is unknown.
    n_unread_links : int
        How many there are in all.
    understood : list of str
        One line for each file that is not in the plain form of MovieLens: how it was read.
    """

    bad_rows: list[BadRow] = field(default_factory=list)
    n_bad_rows: int = 0
    n_duplicate_ratings: int = 0
    n_unlisted_movies: int = 0
    n_repaired_titles: int = 0
    n_empty_tags: int = 0
    unread_links: list[BadRow] = field(default_factory=list)
    n_unread_links: int = 0
    understood: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dataset:
    """Movies, ratings and tags with the columns that everything else relies on.

    Attributes
    ----------
    name : str
        For tables and file names, e.g. ``"ml-latest-small"``.
    movies : pandas.DataFrame
        ``movie_id`` int32, unique, ascending; ``title`` str (with the year as in the file); ``year`` Int16,
        missing where the title names none; ``genres`` str, joined by ``|`` in the file's order, empty when
        none are listed; ``imdb_id``, ``tmdb_id`` Int64, missing where unknown.
    ratings : pandas.DataFrame
        ``user_id`` int32, ``movie_id`` int32, ``rating`` float32, ``timestamp`` int64 (seconds since 1970,
        UTC); one row a user and movie, sorted by user, then movie.
    tags : pandas.DataFrame
        ``user_id`` int32, ``movie_id`` int32, ``tag`` str, ``timestamp`` int64, sorted by user, movie, time.
    report : ReadReport
        What was noticed on the way.
    """

    name: str
    movies: pd.DataFrame
    ratings: pd.DataFrame
    tags: pd.DataFrame
    report: ReadReport = field(default_factory=ReadReport)
