"""Joins and splits genres: the one place that knows how they are written in files and in the database."""

NO_GENRES = "(no genres listed)"
"""What MovieLens writes where there are none; in any case, and read only."""

_SEPARATOR = "|"


def split_genres(joined: str) -> list[str]:
    """Return the genres of their joined form: trimmed, each once, in order.

    >>> split_genres("Drama|| War |Drama"), split_genres("(No Genres Listed)")
    (['Drama', 'War'], [])
    """
    # Also on the way out of the database, which may have been filled before this rule.
    genres = dict.fromkeys(genre.strip() for genre in joined.split(_SEPARATOR))
    return [genre for genre in genres if genre and genre.casefold() != NO_GENRES]


def join_genres(genres: list[str]) -> str:
    """Return the joined form, empty for none.

    >>> join_genres(["Drama", "War"])
    'Drama|War'
    """
    return _SEPARATOR.join(genres)
