import pytest

from shared.contract.kinds import RULES, Kind
from shared.contract.news import News, RankingEvent


@pytest.mark.parametrize("outcome", list(RankingEvent))
@pytest.mark.parametrize("kind", list(Kind))
def test_news_survives_the_channel(outcome: RankingEvent, kind: Kind) -> None:
    news = News(outcome, kind, [1, 20, 300])
    assert News.from_text(news.to_text()) == news


@pytest.mark.parametrize("text", ["", "written", "written suggested x", "done suggested 1", "written all 1"])
def test_foreign_messages_are_ignored(text: str) -> None:
    assert News.from_text(text) is None


def test_every_kind_has_a_rule() -> None:
    assert set(RULES) == set(Kind)
    assert {kind: (rule.limit, rule.decimals) for kind, rule in RULES.items()} == {
        Kind.SUGGESTED: (150, 3),
        Kind.SIMILAR: (100, 2),
    }
