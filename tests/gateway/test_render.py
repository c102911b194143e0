"""Bytes of rankings: against what a JSON encoder makes of the same."""

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue import movies
from gateway.catalogue.movies import Catalogue
from gateway.http import rendering
from shared.contract.kinds import RULES, Kind
from shared.rankings.ranking import Ranking

FAR = movies._HIGHEST_LISTED + 1


def catalogue_of(movie_ids: list[int]) -> Catalogue:
    fragments = {i: b'{"id":%d,"title":"T%d","genres":["A"]' % (i, i) for i in movie_ids}
    return Catalogue("data", fragments, array("i"))


@pytest.mark.parametrize("kind", list(Kind))
@given(
    wanted=st.lists(st.integers(1, 60), unique=True, max_size=40),
    missing=st.sets(st.integers(1, 60)),
    highest=st.sampled_from([60, 100, FAR]),
    data=st.data(),
)
def test_a_ranking_has_the_movies_that_there_are(
    kind: Kind, wanted: list[int], missing: set[int], highest: int, data: st.DataObject
) -> None:
    decimals = RULES[kind].decimals
    most = {Kind.SUGGESTED: 5, Kind.SIMILAR: 1}[kind] * 10**decimals
    scores = data.draw(st.lists(st.integers(0, most), min_size=len(wanted), max_size=len(wanted)))
    movies = catalogue_of([i for i in [*range(1, 51), highest] if i not in missing])
    body = json.loads(rendering.ranking(kind, Ranking("v", "", decimals, wanted, scores), movies))
    ((name, shown),) = body.items()
    assert name == {Kind.SUGGESTED: "suggested_movies", Kind.SIMILAR: "most_similar_movies"}[kind]
    field = {Kind.SUGGESTED: "estimated_score", Kind.SIMILAR: "cosine_similarity"}[kind]
    assert shown == [
        {"id": i, "title": f"T{i}", "genres": ["A"], field: score / 10**decimals}
        for i, score in zip(wanted, scores, strict=True)
        if i in movies
    ]


def test_ids_are_listed_up_to_a_limit() -> None:
    assert isinstance(catalogue_of([1, FAR - 1]).by_id, list)
    assert isinstance(catalogue_of([1, FAR]).by_id, dict)
    assert catalogue_of([]).by_id == [None]
