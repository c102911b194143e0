"""What a request shows of a ranking: options that compute nothing."""

from pydantic import BaseModel, ConfigDict

from shared.rankings.ranking import Ranking


class RankingView(BaseModel):
    """Shows a ranking as a request asks for it; each field is a query parameter of all rankings.

    There is none yet: every request shows all that the worker ranked.
    """

    model_config = ConfigDict(frozen=True)

    def apply(self, ranking: Ranking) -> Ranking:
        """Return what is shown of a ranking."""
        return ranking


WHOLE = RankingView()
"""The view without any option: the only one whose answers are kept."""
