"""Marks rankings as stale whose ratings have changed, and tells every gateway."""

from collections.abc import Sequence

import redis

from shared.contract import keys
from shared.contract.kinds import RULES
from shared.contract.news import NEWS_LIMIT, News, RankingEvent
from shared.lua import load_script
from shared.rankings.store import ANSWER_TTL_SECONDS

_COUNT_CHANGE_SCRIPT = load_script(__package__, "count_change")


def announce_changes(cache: redis.Redis, queue: redis.Redis, user_ids: Sequence[int]) -> None:
    """Say that ratings of users have changed in the database, after the change was committed.

    Rankings that were computed from the ratings before are stale from now on, also those that a worker is
    computing at this moment; every gateway drops them within a second.

    Parameters
    ----------
    cache, queue : redis.Redis
        Of the rankings and of the news.
    user_ids : sequence of int
        Whose ratings.
    """
    kinds = [kind for kind, rule in RULES.items() if rule.owner == "user"]
    count_change = cache.register_script(_COUNT_CHANGE_SCRIPT)
    for start in range(0, len(user_ids), NEWS_LIMIT):
        ids = list(user_ids[start : start + NEWS_LIMIT])
        count_change(
            [keys.owner("user", user_id) for user_id in ids], [keys.CHANGES_FIELD, ANSWER_TTL_SECONDS]
        )
        for kind in kinds:
            queue.publish(keys.ANSWERS_CHANNEL, News(RankingEvent.CHANGED, kind, ids).to_text())
