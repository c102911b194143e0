"""Reading the files of movies, tags and links into columns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared.datasets.fields import (
    BadRows,
    FieldError,
    identifier,
    shown,
    text_value,
    timestamp_value,
    whole_number,
)
from shared.datasets.records import Lines, Record, csv_records, read_lines, separated_records
from shared.genres import join_genres, split_genres

_YEAR = re.compile(
    r"""\( ([0-9]{4}) (?: \s*[-\u2013\u2014]\s* (?:[0-9]{4})? )? \)  # (1995), (1995-1998), (1995-)
        (?: \s* \( (?:V|TV) \) )? $""",  # ML-100k marks videos behind the year
    re.VERBOSE,
)

GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""What the flags of ``u.item`` mean, in their order."""

_FIRST_FLAG = 5
# What ``u.item`` calls a film without genres.
_UNKNOWN = "unknown"


@dataclass
class MovieColumns:
    """Movies in the order of the file."""

    movie_ids: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    years: list[int | None] = field(default_factory=list)
    genres: list[str] = field(default_factory=list)
    n_repaired: int = 0


@dataclass
class TagColumns:
    """Tags in the order of the file."""

    user_ids: list[int] = field(default_factory=list)
    movie_ids: list[int] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    n_empty: int = 0


@dataclass(frozen=True)
class Link:
    """Ids of a movie elsewhere."""

    imdb_id: int | None
    tmdb_id: int | None


def year_of(title: str) -> int | None:
    """Read the year that ends a title, the first one of a range; None when there is none.

    >>> year_of("Toy Story (1995)"), year_of("Fawlty Towers (1975-1979)"), year_of("Nosferatu")
    (1995, 1975, None)
    """
    match = _YEAR.search(title)
    return int(match.group(1)) if match else None


def read_movies_csv(path: Path, bad: BadRows) -> MovieColumns:
    """Read ``movies.csv``."""
    lines = read_lines(path)
    records = csv_records(path, lines, ("movieId", "title", "genres"), bad)
    return _movies(path, lines, records, bad)


def read_movies_dat(path: Path, bad: BadRows) -> MovieColumns:
    """Read ``movies.dat``."""
    lines = read_lines(path)
    return _movies(path, lines, separated_records(path, lines, "::", 3, bad), bad)


def read_movies_100k(path: Path, genres_path: Path, bad: BadRows) -> MovieColumns:
    """Read ``u.item``, with the genre names of ``u.genre`` when that file is there."""
    names = _read_genre_names(genres_path, bad) if genres_path.is_file() else GENRES_100K
    lines = read_lines(path)

    def records() -> Iterator[Record]:
        for record in separated_records(path, lines, "|", _FIRST_FLAG + len(names), bad):
            flags = record.fields[_FIRST_FLAG:]
            wrong = next((flag for flag in flags if flag.strip() not in ("0", "1")), None)
            if wrong is not None:
                bad.add(path.name, record.line, f"genre flag is neither 0 nor 1: {shown(wrong)}")
                continue
            listed = [name for name, flag in zip(names, flags, strict=True) if flag.strip() == "1"]
            genres = join_genres([name for name in listed if name.casefold() != _UNKNOWN])
            yield Record([*record.fields[:2], genres], record.line, record.last_line)

    return _movies(path, lines, records(), bad)


def read_tags_csv(path: Path, bad: BadRows) -> TagColumns:
    """Read ``tags.csv``."""
    return _tags(
        path, csv_records(path, read_lines(path), ("userId", "movieId", "tag", "timestamp"), bad), bad
    )


def read_tags_dat(path: Path, bad: BadRows) -> TagColumns:
    """Read ``tags.dat``."""
    return _tags(path, separated_records(path, read_lines(path), "::", 4, bad), bad)


def read_links(path: Path, bad: BadRows) -> dict[int, Link]:
    """Read ``links.csv``: for each movie id its first link."""
    links: dict[int, Link] = {}
    for record in csv_records(path, read_lines(path), ("movieId", "imdbId", "tmdbId"), bad):
        try:
            movie_id = identifier("movieId", record.fields[0])
            link = Link(_foreign_id("imdbId", record.fields[1]), _foreign_id("tmdbId", record.fields[2]))
        except FieldError as error:
            bad.add(path.name, record.line, str(error))
            continue
        links.setdefault(movie_id, link)
    return links


def _movies(path: Path, lines: Lines, records: Iterator[Record], bad: BadRows) -> MovieColumns:
    columns = MovieColumns()
    first_lines: dict[int, int] = {}
    for record in records:
        try:
            movie_id = identifier("movieId", record.fields[0])
            title = text_value("title", record.fields[1])
            genres = record.fields[2].strip()
            if "\0" in genres:
                raise FieldError(f"genres contain a NUL character: {shown(genres)}")
            if movie_id in first_lines:
                raise FieldError(f"movieId {movie_id} is already on line {first_lines[movie_id]}")
        except FieldError as error:
            bad.add(path.name, record.line, str(error))
            continue
        first_lines[movie_id] = record.line
        columns.movie_ids.append(movie_id)
        columns.titles.append(title)
        columns.years.append(year_of(title))
        columns.genres.append(join_genres(split_genres(genres)))
        if lines.repaired and not lines.repaired.isdisjoint(range(record.line, record.last_line + 1)):
            columns.n_repaired += 1
    return columns


def _tags(path: Path, records: Iterator[Record], bad: BadRows) -> TagColumns:
    columns = TagColumns()
    for record in records:
        try:
            user_id = identifier("userId", record.fields[0])
            movie_id = identifier("movieId", record.fields[1])
            timestamp = timestamp_value(record.fields[3])
            if not record.fields[2].strip():  # the large data sets have a few, and they say nothing
                columns.n_empty += 1
                continue
            tag = text_value("tag", record.fields[2])
        except FieldError as error:
            bad.add(path.name, record.line, str(error))
            continue
        columns.user_ids.append(user_id)
        columns.movie_ids.append(movie_id)
        columns.tags.append(tag)
        columns.timestamps.append(timestamp)
    return columns


def _foreign_id(name: str, text: str) -> int | None:
    if not text.strip():
        return None
    number = whole_number(name, text)
    if number < 0:
        raise FieldError(f"{name} is negative: {number}")
    return number


def _read_genre_names(path: Path, bad: BadRows) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for record in separated_records(path, read_lines(path), "|", 2, bad):
        try:
            names[whole_number("genre number", record.fields[1])] = text_value("genre", record.fields[0])
        except FieldError as error:
            bad.add(path.name, record.line, str(error))
    # Names that do not count up from 0 cannot say which flag they mean.
    return tuple(names[i] for i in range(len(names))) if set(names) == set(range(len(names))) else GENRES_100K
