"""Reads the files of movies into columns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.datasets.fields import BadRows, FieldError, identifier, shown, text_value, whole_number
from shared.datasets.headers import GENRES, MOVIE_ID, TITLE
from shared.datasets.records import Lines, Record, read_lines, read_table, separated_records
from shared.datasets.sources import InputFile
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
    notes: list[str] = field(default_factory=list)


def year_of(title: str) -> int | None:
    """Read the year that ends a title, the first one of a range; None when there is none.

    >>> year_of("Toy Story (1995)"), year_of("Fawlty Towers (1975-1979)"), year_of("Nosferatu")
    (1995, 1975, None)
    """
    match = _YEAR.search(title)
    return int(match.group(1)) if match else None


def read_movies_csv(file: InputFile, bad: BadRows) -> MovieColumns:
    """Read ``movies.csv``."""
    table = read_table(file, (MOVIE_ID, TITLE, GENRES), bad)
    return _movies(file, table.lines, table.records, bad, table.notes)


def read_movies_dat(file: InputFile, bad: BadRows) -> MovieColumns:
    """Read ``movies.dat``."""
    lines = read_lines(file)
    return _movies(file, lines, separated_records(file, lines, "::", 3, bad), bad, file.notes())


def read_movies_100k(file: InputFile, genres: InputFile | None, bad: BadRows) -> MovieColumns:
    """Read ``u.item``, with the genre names of ``u.genre`` when that file is there."""
    names = _read_genre_names(genres, bad) if genres is not None else GENRES_100K
    lines = read_lines(file)

    def records() -> Iterator[Record]:
        for record in separated_records(file, lines, "|", _FIRST_FLAG + len(names), bad):
            flags = record.fields[_FIRST_FLAG:]
            wrong = next((flag for flag in flags if flag.strip() not in ("0", "1")), None)
            if wrong is not None:
                bad.add(file.name, record.line, f"genre flag is neither 0 nor 1: {shown(wrong)}")
                continue
            listed = [name for name, flag in zip(names, flags, strict=True) if flag.strip() == "1"]
            known = join_genres([name for name in listed if name.casefold() != _UNKNOWN])
            yield Record([*record.fields[:2], known], record.line, record.last_line)

    return _movies(file, lines, records(), bad, file.notes())


def _movies(
    file: InputFile, lines: Lines, records: Iterator[Record], bad: BadRows, notes: list[str]
) -> MovieColumns:
    columns = MovieColumns(notes=notes)
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
            bad.add(file.name, record.line, str(error))
            continue
        first_lines[movie_id] = record.line
        columns.movie_ids.append(movie_id)
        columns.titles.append(title)
        columns.years.append(year_of(title))
        columns.genres.append(join_genres(split_genres(genres)))
        if lines.repaired and not lines.repaired.isdisjoint(range(record.line, record.last_line + 1)):
            columns.n_repaired += 1
    return columns


def _read_genre_names(file: InputFile, bad: BadRows) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for record in separated_records(file, read_lines(file), "|", 2, bad):
        try:
            names[whole_number("genre number", record.fields[1])] = text_value("genre", record.fields[0])
        except FieldError as error:
            bad.add(file.name, record.line, str(error))
    # Names that do not count up from 0 cannot say which flag they mean.
    return tuple(names[i] for i in range(len(names))) if set(names) == set(range(len(names))) else GENRES_100K
