"""Renders answers as JSON bytes."""

from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import orjson

from gateway.catalogue.movies import Catalogue
from gateway.rankings.kinds import ANSWERS
from shared.contract.kinds import RULES, Kind
from shared.database.queries import RatedMovie
from shared.rankings.ranking import Ranking

_OPENINGS = {kind: f'{{"{answer.name}":['.encode() for kind, answer in ANSWERS.items()}
_SCORE_NAMES = {kind: answer.score.encode() for kind, answer in ANSWERS.items()}


def movie(movie_id: int, catalogue: Catalogue) -> bytes:
    """Return the body for a movie that the catalogue has."""
    return catalogue.fragments[movie_id] + b"}"


def rated(user_id: int, movies: Iterable[RatedMovie], catalogue: Catalogue) -> bytes:
    """Return the body for what a user rated."""
    parts = [
        b'{"movieId":%d,"rating":%b,"tags":%b,%b}'
        % (
            item.movie_id,
            orjson.dumps(item.rating),
            orjson.dumps(item.tags),
            catalogue.details(item.movie_id),
        )
        for item in movies
        if item.movie_id in catalogue
    ]
    return b'{"id":%d,"movies":[%b]}' % (user_id, b",".join(parts))


def ranking(kind: Kind, result: Ranking, catalogue: Catalogue) -> bytes:
    """Return the body for a ranking.

    Movies that an import removed since are left out. Scores have the number of decimals that the ranking was
    packed with, so that the digits are the worker's.
    """
    movie_ids, scores = result.movie_ids, result.scores
    try:
        movies = _pick(movie_ids, catalogue.by_id)
    except LookupError:
        movies = [None]
    if None in movies:
        known = [place for place, movie_id in enumerate(movie_ids) if movie_id in catalogue]
        movies = [catalogue.fragments[movie_ids[place]] for place in known]
        scores = [scores[place] for place in known]
    parts = [_OPENINGS[kind]] * (2 * len(movies) + 2)
    parts[1:-1:2] = movies
    parts[2:-1:2] = _score_texts(kind, result.decimals, scores)
    parts[-1] = b"]}"
    parts[-2] = parts[-2].removesuffix(b",")
    return b"".join(parts)


def _pick(places: Sequence[int], table: Any) -> Sequence[Any]:
    """Return what a table has at some places, in half the time of a loop."""
    return itemgetter(*places)(table) if len(places) > 1 else [table[place] for place in places]


def _score_texts(kind: Kind, decimals: int, scores: Sequence[int]) -> Sequence[bytes]:
    """Return how each movie's object ends, with a comma: looked up, since there are but a few thousand."""
    if decimals == RULES[kind].decimals:
        table = _score_table(kind)
        try:
            return _pick(scores, table)
        except IndexError:
            pass
    return [_score_text(kind, decimals, score) for score in scores]


@cache
def _score_table(kind: Kind) -> list[bytes]:
    rule = RULES[kind]
    highest = rule.highest * 10**rule.decimals
    return [_score_text(kind, rule.decimals, score) for score in range(highest + 1)]


def _score_text(kind: Kind, decimals: int, score: int) -> bytes:
    unit = 10**decimals
    return b',"%b":%d.%0*d},' % (_SCORE_NAMES[kind], score // unit, decimals, score % unit)
