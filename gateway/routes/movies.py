"""Tells what a movie is, and which movies are most like it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from gateway.context import GatewayContext, context_of
from gateway.http import rendering, urls
from gateway.http.problems import InvalidRequest, UnknownMovie, documented
from gateway.http.responses import PUBLIC, MovieId, send
from gateway.rankings.answer_cache import Answer
from gateway.routes import rankings
from shared.contract.kinds import Kind
from shared.contract.question import Question

router = APIRouter(prefix="/movies", tags=["movies"])


class Movie(BaseModel):
    """A movie."""

    id: int
    title: str
    genres: list[str]


class SimilarMovie(Movie):
    """A movie like another one."""

    cosine_similarity: float


class SimilarMovies(BaseModel):
    """What is most like a movie."""

    most_similar_movies: list[SimilarMovie]


_MOVIE_EXAMPLE = {"id": 6, "title": "Heat (1995)", "genres": ["Action", "Crime", "Thriller"]}
_SIMILAR_EXAMPLE = {
    "most_similar_movies": [
        {
            "id": 5418,
            "title": "Bourne Identity, The (2002)",
            "genres": ["Action", "Mystery", "Thriller"],
            "cosine_similarity": 0.66,
        }
    ]
}


@router.get(
    "/{movie_id}",
    summary="What a movie is",
    response_model=Movie,
    responses={
        200: {"content": {"application/json": {"example": _MOVIE_EXAMPLE}}},
        **documented(UnknownMovie, InvalidRequest),
    },
)
async def movie(
    movie_id: MovieId, request: Request, context: Annotated[GatewayContext, Depends(context_of)]
) -> Response:
    """Title and genres, as in the data set's file."""
    if movie_id not in context.catalogue:
        raise UnknownMovie(movie_id)
    body = rendering.movie(movie_id, context.catalogue)
    answer = Answer(body, context.workers.newest_version or "", PUBLIC, data=context.catalogue.fingerprint)
    context.answer_cache.put(urls.movie(movie_id), movie_id, context.answer_cache.token(movie_id), answer)
    return send(request, answer, cached=True)


@router.get(
    "/{movie_id}/most_similar_movies",
    summary="What is most like a movie",
    response_model=SimilarMovies,
    responses={
        200: {"content": {"application/json": {"example": _SIMILAR_EXAMPLE}}},
        **rankings.ACCEPTED,
        **documented(UnknownMovie, InvalidRequest),
        **rankings.PROBLEMS,
    },
)
async def most_similar(
    movie_id: MovieId,
    view: rankings.View,
    request: Request,
    context: Annotated[GatewayContext, Depends(context_of)],
) -> Response:
    """At most 100 other movies that share a genre, by cosine; of equals the better-known first."""
    return await rankings.ranking_response(request, context, Question(Kind.SIMILAR, movie_id), view)
