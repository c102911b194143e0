"""Paths and questions stand for each other, for every kind of ranking."""

import pytest

from gateway.http import urls
from gateway.rankings.kinds import ANSWERS
from shared.contract.kinds import MAX_ID, Kind
from shared.contract.question import Question


def test_every_kind_has_an_answer() -> None:
    assert set(ANSWERS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("subject", [1, MAX_ID])
def test_the_path_of_a_question_is_read_as_that_question(kind: Kind, subject: int) -> None:
    question = Question(kind, subject)
    assert urls.question(urls.ranking(question)) == question


def test_paths_are_as_promised() -> None:
    assert urls.ranking(Question(Kind.SUGGESTED, 7)) == b"/api/v1/users/7/suggested_movies"
    assert urls.ranking(Question(Kind.SIMILAR, 7)) == b"/api/v1/movies/7/most_similar_movies"
    assert urls.rated(7) == b"/api/v1/users/7"
    assert urls.movie(7) == b"/api/v1/movies/7"


@pytest.mark.parametrize(
    "path",
    [
        b"/api/v1/users/7",
        b"/api/v1/users/7/most_similar_movies",
        b"/api/v1/movies/7/suggested_movies",
        b"/api/v1/users/7/suggested_movies/",
        b"x/api/v1/users/7/suggested_movies",
        b"/api/v1/users//suggested_movies",
        b"/api/v1/users/-7/suggested_movies",
        b"/api/v1/users/0/suggested_movies",
        b"/api/v1/movies/%d/most_similar_movies" % (MAX_ID + 1),
        b"/api/v1/movies/11111111111/most_similar_movies",
    ],
)
def test_what_asks_for_no_ranking(path: bytes) -> None:
    assert urls.question(path) is None


def test_all_about_a_user_is_not_about_a_movie() -> None:
    assert urls.all_about(Question(Kind.SUGGESTED, 7)) == [
        b"/api/v1/users/7",
        b"/api/v1/users/7/suggested_movies",
    ]
    assert urls.all_about(Question(Kind.SIMILAR, 7)) == [
        b"/api/v1/movies/7",
        b"/api/v1/movies/7/most_similar_movies",
    ]
