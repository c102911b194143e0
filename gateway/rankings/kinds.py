"""What the gateway knows of each kind of ranking: a new kind is a new row here, and a route."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.catalogue.movies import Catalogue
from gateway.http.problems import Problem, UnknownMovie, UnknownUser
from gateway.http.responses import PRIVATE, PUBLIC
from shared.contract.kinds import Kind
from shared.database import queries


@dataclass(frozen=True)
class SubjectType:
    """What rankings are about.

    Attributes
    ----------
    path : str
        First part of the paths of all that is known of one.
    cache_control : str
        ``Cache-Control`` of answers about one.
    unknown : callable
        Makes the error for an id that does not exist.
    is_listed : callable
        Tells whether one exists, from memory.
    look_up : callable or None
        Asks the database, of one that is not listed; None where the list is complete.
    """

    path: str
    cache_control: str
    unknown: Callable[[int], Problem]
    is_listed: Callable[[Catalogue, int], bool]
    look_up: Callable[[Connection, int], bool] | None


USER = SubjectType("users", PRIVATE, UnknownUser, Catalogue.has_user, queries.user_exists)
MOVIE = SubjectType("movies", PUBLIC, UnknownMovie, Catalogue.__contains__, None)


@dataclass(frozen=True)
class AnswerType:
    """How clients see a kind of ranking.

    Attributes
    ----------
    about : SubjectType
        Users or movies.
    name : str
        Last part of its paths, and the only member of its bodies.
    score : str
        Member of each movie that holds its score.
    """

    about: SubjectType
    name: str
    score: str


ANSWERS = {
    Kind.SUGGESTED: AnswerType(USER, "suggested_movies", "estimated_score"),
    Kind.SIMILAR: AnswerType(MOVIE, "most_similar_movies", "cosine_similarity"),
}
