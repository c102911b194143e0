"""Answers batches of questions with the current model."""

from collections.abc import Sequence

from sqlalchemy import Engine

from shared.artifacts.store import ArtifactStore
from shared.contract.question import Question
from shared.errors import ArtifactError
from shared.rankings.ranking import Ranking
from worker.serving.rankers import RANKERS
from worker.serving.snapshots import Snapshots
from worker.serving.switching import ModelSwitch


class Serving:
    """Answers batches of questions, and switches to a new model when one is published.

    Parameters
    ----------
    store : ArtifactStore
        Where versions appear.
    engine : Engine
        Database with the ratings.
    """

    def __init__(self, store: ArtifactStore, engine: Engine) -> None:
        self._switch = ModelSwitch(store)
        self._snapshots = Snapshots(engine)

    @property
    def version(self) -> str | None:
        """The version in memory, None if there is none yet."""
        return self._switch.version

    def data_fingerprint(self) -> str:
        """Return what tells the data that are in the database now from all others."""
        return self._snapshots.data_fingerprint()

    def refresh(self) -> None:
        """Switch to the current version if it is not the one in memory; see :class:`ModelSwitch`."""
        self._switch.refresh()

    def rank(self, questions: Sequence[Question]) -> list[Ranking | None]:
        """Answer a batch of questions; those of one kind are computed together.

        If the model was trained on other data than the database holds, movies that are not the same there
        count for nothing: they are neither shown, nor do their ratings say anything.

        Returns
        -------
        list of Ranking or None
            One a question, in their order; None for a user who has rated nothing.

        Raises
        ------
        ArtifactError
            If no model could be loaded yet.
        """
        loaded = self._switch.loaded
        if loaded is None:
            raise ArtifactError("There is no model yet; train one: movierec train.")
        rankings: list[Ranking | None] = [None] * len(questions)
        for kind in dict.fromkeys(question.kind for question in questions):
            places = [place for place, question in enumerate(questions) if question.kind is kind]
            own = RANKERS[kind](loaded, self._snapshots, [questions[place] for place in places])
            for place, ranking in zip(places, own, strict=True):
                rankings[place] = ranking
        return rankings
