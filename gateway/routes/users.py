"""Tells what a user rated, and what to watch next."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy import Engine

from gateway.catalogue.movies import Catalogue
from gateway.context import GatewayContext, context_of
from gateway.http import rendering, urls
from gateway.http.problems import DatabaseUnavailable, InvalidRequest, UnknownUser, documented
from gateway.http.responses import PRIVATE, UserId, send
from gateway.rankings.answer_cache import Answer
from gateway.routes import rankings
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.database import queries

router = APIRouter(prefix="/users", tags=["users"])


class RatedMovie(BaseModel):
    """A movie that the user rated."""

    movieId: int  # the name that the first release promised
    rating: float
    tags: list[str]
    title: str
    genres: list[str]


class UserRatings(BaseModel):
    """All that a user rated."""

    id: int
    movies: list[RatedMovie]


class SuggestedMovie(BaseModel):
    """A movie that the user may like."""

    id: int
    title: str
    genres: list[str]
    estimated_score: float


class SuggestedMovies(BaseModel):
    """What a user should watch."""

    suggested_movies: list[SuggestedMovie]


_RATED_EXAMPLE = {
    "id": 15,
    "movies": [
        {
            "movieId": 260,
            "rating": 5.0,
            "tags": ["classic"],
            "title": "Star Wars: Episode IV - A New Hope (1977)",
            "genres": ["Action", "Adventure", "Sci-Fi"],
        }
    ],
}
_SUGGESTED_EXAMPLE = {
    "suggested_movies": [
        {
            "id": 318,
            "title": "Shawshank Redemption, The (1994)",
            "genres": ["Crime", "Drama"],
            "estimated_score": 4.412,
        }
    ]
}


@router.get(
    "/{user_id}",
    summary="What a user rated",
    response_model=UserRatings,
    responses={
        200: {"content": {"application/json": {"example": _RATED_EXAMPLE}}},
        **documented(UnknownUser, InvalidRequest, DatabaseUnavailable),
    },
)
async def rated(
    user_id: UserId, request: Request, context: Annotated[GatewayContext, Depends(context_of)]
) -> Response:
    """All that the user rated, best first, then by id, each with this user's tags of that movie."""
    path = urls.rated(user_id)
    kept = context.answer_cache.get(path)
    if kept is not None:
        return send(request, kept, cached=True)

    async def read(catalogue: Catalogue) -> Answer | None:
        token = context.answer_cache.token(user_id)
        body = await asyncio.to_thread(_rated, context.engine, user_id, catalogue)
        if body is None:
            return None
        answer = Answer(body, context.workers.newest_version or "", PRIVATE, data=catalogue.fingerprint)
        context.answer_cache.put(path, user_id, token, answer)
        return answer

    return send(request, await context.of_one_data_set(read), cached=False)


def _rated(engine: Engine, user_id: int, catalogue: Catalogue) -> bytes | None:
    """Return the body for what a user rated, None if that is of other data than the catalogue."""
    with engine.connect() as connection:  # both as of one moment
        fingerprint = queries.data_fingerprint(connection)
        movies = queries.rated_movies(connection, user_id)
    if fingerprint != catalogue.fingerprint:
        return None
    if not movies:
        raise UnknownUser(user_id)
    return rendering.rated(user_id, movies, catalogue)


@router.get(
    "/{user_id}/suggested_movies",
    summary="What a user should watch",
    response_model=SuggestedMovies,
    responses={
        200: {"content": {"application/json": {"example": _SUGGESTED_EXAMPLE}}},
        **rankings.ACCEPTED,
        **documented(UnknownUser, InvalidRequest),
        **rankings.PROBLEMS,
    },
)
async def suggested(
    user_id: UserId,
    view: rankings.View,
    request: Request,
    context: Annotated[GatewayContext, Depends(context_of)],
) -> Response:
    """At most 150 movies that the user has not rated, best estimate first; of equals the better-known."""
    return await rankings.ranking_response(request, context, Question(Kind.SUGGESTED, user_id), view)
