"""Bytes of answers."""

from collections.abc import Iterable

import orjson

from gateway.catalogue import Catalogue
from shared.contract import Kind
from shared.database.queries import RatedMovie
from shared.ranking import Ranking

_WRAPPERS = {
    Kind.SUGGESTED: (b"suggested_movies", b"estimated_score"),
    Kind.SIMILAR: (b"most_similar_movies", b"cosine_similarity"),
}


def movie(movie_id: int, catalogue: Catalogue) -> bytes:
    """Return the body for a movie that the catalogue has."""
    return b'{"id":%d,%b}' % (movie_id, catalogue.details[movie_id])


def rated(user_id: int, movies: Iterable[RatedMovie], catalogue: Catalogue) -> bytes:
    """Return the body for what a user rated."""
    parts = [
        b'{"movieId":%d,"rating":%b,"tags":%b,%b}'
        % (
            item.movie_id,
            orjson.dumps(item.rating),
            orjson.dumps(item.tags),
            catalogue.details[item.movie_id],
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
    wrapper, score_name = _WRAPPERS[kind]
    unit = 10**result.decimals
    template = b'{"id":%%d,%%b,"%b":%%d.%%0%dd}' % (score_name, result.decimals)
    details = catalogue.details
    parts = [
        template % (movie_id, details[movie_id], score // unit, score % unit)
        for movie_id, score in zip(result.movie_ids, result.scores, strict=True)
        if movie_id in details
    ]
    return b'{"%b":[%b]}' % (wrapper, b",".join(parts))
