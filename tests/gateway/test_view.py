"""A view shows a part of a ranking, and only the whole one is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.catalogue.movies import Catalogue
from gateway.rankings.answer_cache import Answer, AnswerCache
from gateway.rankings.dispatcher import Found
from gateway.rankings.service import answer_ranking
from gateway.rankings.view import WHOLE, RankingView
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.rankings.ranking import Ranking
from tests.gateway.asking import VERSION
from tests.gateway.test_render import catalogue_of

QUESTION = Question(Kind.SUGGESTED, 1)


class First(RankingView):
    """An option as it will be written: the first movies."""

    n: int = 150

    def apply(self, ranking: Ranking) -> Ranking:
        return ranking._replace(movie_ids=ranking.movie_ids[: self.n], scores=ranking.scores[: self.n])


class Context(SimpleNamespace):
    """What an answer needs of a gateway, with a ranking that no cache has."""

    def __init__(self) -> None:
        catalogue = catalogue_of([1, 2, 3])
        ranking = Ranking(VERSION, "data", 3, [3, 1, 2], [4000, 3500, 3000])

        async def ask(question: Question, fingerprint: str, *, wait: bool) -> Found:
            return Found(ranking, cached=False, fresh=True)

        async def of_one_data_set(read: Callable[[Catalogue], Awaitable[Any]]) -> Any:
            return await read(catalogue)

        super().__init__(
            answer_cache=AnswerCache(2**20, timedelta(hours=1)),
            dispatcher=SimpleNamespace(ask=ask),
            popularity=SimpleNamespace(count=lambda member: None),
            of_one_data_set=of_one_data_set,
        )


def answer(context: Context, view: RankingView) -> tuple[list[int], bool]:
    """Return the ids of an answer and whether it was kept from before."""
    found: tuple[Answer, bool] = asyncio.run(answer_ranking(context, QUESTION, wait=True, view=view))  # type: ignore[arg-type]
    body, cached = found
    return [movie["id"] for movie in orjson.loads(body.body)["suggested_movies"]], cached


@pytest.mark.parametrize("n", [1, 2])
def test_a_view_shows_a_part_and_only_the_whole_is_kept(n: int) -> None:
    context = Context()
    assert answer(context, First(n=n)) == ([3, 1, 2][:n], False)
    assert answer(context, WHOLE) == ([3, 1, 2], False), "a part must not be kept as the whole"
    assert answer(context, WHOLE) == ([3, 1, 2], True)
    assert answer(context, First(n=n)) == ([3, 1, 2][:n], False), "nor the whole be shown as a part"
