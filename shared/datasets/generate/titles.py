"""Titles of movies that do not exist."""

import numpy as np
import numpy.typing as npt

from shared.datasets.generate.words import ADJECTIVES, FOREIGN, NAMES, NOUNS, PLACES

_ATTEMPTS = 20


def draw_titles(years: npt.NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    """Draw a unique title for each movie, its year behind it for nearly all.

    Some stand as ``Harbor, The (1994)``; some have commas, quotes, letters beyond ASCII, or no year.
    """
    taken: set[str] = set()
    titles: list[str] = []
    for index, year in enumerate(years.tolist()):
        suffix = "" if index % 401 == 17 else f" ({year})"
        title = ""
        for _ in range(_ATTEMPTS):
            title = _draw(index, rng) + suffix
            if title not in taken:
                break
        else:
            # Only sets far larger than MovieLens come here.
            title = f"{_draw(index, rng)} {index}{suffix}"
        taken.add(title)
        titles.append(title)
    return titles


def _draw(index: int, rng: np.random.Generator) -> str:
    pattern, *numbers = rng.integers(0, 1 << 30, 4).tolist()
    adjective = ADJECTIVES[numbers[0] % len(ADJECTIVES)]
    noun = NOUNS[numbers[1] % len(NOUNS)]
    other = NOUNS[numbers[2] % len(NOUNS)]
    name = NAMES[numbers[0] % len(NAMES)]
    place = PLACES[numbers[2] % len(PLACES)]
    if index % 97 == 11:
        return f'"{adjective}" {noun}, The'
    if index % 89 == 7:
        return f"{noun} of {place} ({FOREIGN[numbers[0] % len(FOREIGN)]})"
    choices = (
        f"{adjective} {noun}",
        f"{adjective} {noun}, The",
        f"{adjective} {noun} in {place}",
        f"{noun} of {place}, The",
        f"{noun} and the {other}, The",
        f"{noun} for {name}, A",
        f"{name}'s {other}",
        f"{name} and the {other}",
        f"{adjective} {noun}: {other} in {PLACES[numbers[1] % len(PLACES)]}",
        f"{place}, My {noun}",
    )
    return choices[pattern % len(choices)]
