import pytest

from shared.contract.jobs import ALLOWED_JOBS, is_job_id
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


def test_jobs_have_the_names_under_which_other_releases_queue_them() -> None:
    assert {"worker.jobs.suggest", "worker.jobs.find_similar", "worker.jobs.train"} == ALLOWED_JOBS


@pytest.mark.parametrize("value", ["a" * 32, b"0123456789abcdef" * 2])
def test_ids_of_jobs_are_told_from_other_text(value: str | bytes) -> None:
    assert is_job_id(value)
    assert not is_job_id(value[:-1])
    assert not is_job_id(value.replace("a", "A") if isinstance(value, str) else value.upper())
    assert not is_job_id(b"\xff" * 32)
