"""The model in memory, and what it answers."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import cast

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Engine

from shared.artifacts import ArtifactStore, Manifest
from shared.contract import RULES, Kind
from shared.database import queries
from shared.database.profiles import ratings_of
from shared.errors import ArtifactError
from shared.ranking import Ranking
from worker.models.base import Float, Model, RatingsBatch, ratings_batch
from worker.models.registry import model_class
from worker.similarity import GenreSimilarity

log = structlog.get_logger(__name__)

_NOTHING: tuple[NDArray[np.intp], Float] = (np.empty(0, dtype=np.intp), np.empty(0))


@dataclass(frozen=True)
class LoadedModel:
    """One version, ready to answer."""

    manifest: Manifest
    model: Model
    similarity: GenreSimilarity

    @classmethod
    def load(cls, store: ArtifactStore, version: str) -> "LoadedModel":
        """Check a version's files and map them.

        Raises
        ------
        ArtifactError
            If it is not complete and unchanged.
        """
        manifest = store.verify(version)
        directory = store.path(version)
        return cls(
            manifest=manifest,
            model=model_class(manifest.algorithm).load(directory),
            similarity=GenreSimilarity.load(directory),
        )


class Serving:
    """Answers batches with the current model, and takes over a new one when it is published.

    Parameters
    ----------
    store : ArtifactStore
        Where versions appear.
    engine : Engine
        Database with the ratings.
    """

    def __init__(self, store: ArtifactStore, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._loaded: LoadedModel | None = None
        self._refused: str | None = None
        self._refreshing = threading.Lock()

    @property
    def version(self) -> str | None:
        """The version in memory, None if there is none yet."""
        return self._loaded.manifest.version if self._loaded else None

    def data_revision(self) -> int:
        """Return the revision of the data that is in the database now."""
        with self._engine.connect() as connection:
            return queries.data_revision(connection)

    def refresh(self) -> None:
        """Take over the current version if it is another one than that in memory.

        The new one is loaded beside the old; who computes with the old one finishes with it. A version that
        is damaged is refused once, with a log line, and the old one serves on; without an old one, the newest
        sound version on disk is taken. Of several threads one loads, and the others wait for it.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        try:
            wanted = self._store.current_version()
        except ArtifactError as error:
            self._refuse("current", error)
            wanted = None
        if wanted is not None and wanted not in {self.version, self._refused}:
            try:
                self._take_over(wanted)
            except ArtifactError as error:
                self._refuse(wanted, error)
        if self._loaded is None:
            for manifest in self._store.versions():
                if manifest.version != self._refused:
                    try:
                        self._take_over(manifest.version)
                        return
                    except ArtifactError:
                        continue

    def _take_over(self, version: str) -> None:
        self._loaded = LoadedModel.load(self._store, version)
        log.info("model taken over", version=version)

    def _refuse(self, version: str, error: ArtifactError) -> None:
        if self._refused != version:
            log.error("model refused", version=version, reason=str(error), serving=self.version)
        self._refused = version

    def rank(self, kind: Kind, ids: Sequence[int]) -> list[Ranking]:
        """Rank movies for each user or movie of a batch.

        Raises
        ------
        ArtifactError
            If no model could be loaded yet.
        """
        loaded = self._loaded
        if loaded is None:
            raise ArtifactError("There is no model yet; train one: movierec train.")
        if not ids:
            return []
        return self._suggest(loaded, ids) if kind is Kind.SUGGESTED else self._find_similar(loaded, ids)

    def _suggest(self, loaded: LoadedModel, user_ids: Sequence[int]) -> list[Ranking]:
        revision, batch = self._read_ratings(user_ids)
        best = loaded.model.best(batch, RULES[Kind.SUGGESTED].limit)
        return self._rankings(
            loaded,
            revision,
            Kind.SUGGESTED,
            [columns for columns, _ in best],
            loaded.model.clip(_joined([scores for _, scores in best])),
        )

    def _find_similar(self, loaded: LoadedModel, movie_ids: Sequence[int]) -> list[Ranking]:
        revision = self.data_revision()
        nearest: list[NDArray[np.intp]] = []
        cosines: list[Float] = []
        for column in loaded.model.columns(np.asarray(movie_ids, dtype=np.int32)):
            # A movie that was imported after the training has no neighbours yet.
            found = loaded.similarity.nearest(int(column)) if column >= 0 else _NOTHING
            nearest.append(found[0])
            cosines.append(found[1])
        return self._rankings(loaded, revision, Kind.SIMILAR, nearest, _joined(cosines))

    @staticmethod
    def _rankings(
        loaded: LoadedModel,
        revision: int,
        kind: Kind,
        columns: list[NDArray[np.intp]],
        scores: Float,
    ) -> list[Ranking]:
        """Make a ranking of each array of columns; their scores are one behind the other."""
        decimals = RULES[kind].decimals
        # All at once: for one ranking NumPy takes longer to begin than to compute.
        movie_ids = loaded.model.movie_ids[np.concatenate(columns)].tolist()
        shown = np.rint(scores * 10**decimals).astype(np.int64).tolist()
        ends = list(accumulate(len(own) for own in columns))
        return [
            Ranking(loaded.manifest.version, revision, decimals, movie_ids[start:end], shown[start:end])
            for start, end in pairwise([0, *ends])
        ]

    def _read_ratings(self, user_ids: Sequence[int]) -> tuple[int, RatingsBatch]:
        """Read the ratings of a batch of users in one query."""
        with self._engine.connect() as connection:
            revision = queries.data_revision(connection)
            ratings = ratings_of(connection, set(user_ids))
        return revision, ratings_batch(user_ids, *ratings)


def _joined(arrays: Sequence[Float]) -> Float:
    return cast(Float, np.concatenate(arrays))
