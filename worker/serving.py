"""The model in memory, and what it answers."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple, cast

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from shared.artifacts.store import ArtifactStore, Manifest
from shared.contract.kinds import RULES, Kind
from shared.database import queries
from shared.database.user_ratings import ratings_of
from shared.errors import ArtifactError, ConfigurationError, UnreadableArtifactError
from shared.rankings.ranking import Ranking
from worker.identity import identities, load_identities, other_movies
from worker.models.base import Float, Model, ratings_batch
from worker.models.registry import model_class
from worker.similarity.genres import GenreSimilarity

log = structlog.get_logger(__name__)

_NOTHING: tuple[NDArray[np.intp], Float] = (np.empty(0, dtype=np.intp), np.empty(0))

_POINTER = "current"
_RETRY_SECONDS = 10.0
"""After which a version that could not be read is tried again."""


class _Refusal(NamedTuple):
    """Why a version is not served, and the monotonic time from which on it is tried again."""

    reason: str
    until: float


@dataclass(frozen=True)
class LoadedModel:
    """One version, ready to answer."""

    manifest: Manifest
    model: Model
    similarity: GenreSimilarity
    movies: NDArray[np.uint64] | None

    @classmethod
    def load(cls, store: ArtifactStore, version: str) -> "LoadedModel":
        """Check a version's files and map them.

        Raises
        ------
        ArtifactError
            If it is not complete and unchanged, is of an algorithm that this release does not know, or has
            something in it that movies cannot be ranked with.
        UnreadableArtifactError
            If it cannot be read.
        """
        manifest = store.verify(version)
        directory = store.path(version)
        try:
            algorithm = model_class(manifest.algorithm)
        except ConfigurationError as error:
            raise ArtifactError(f"Model version {version} is of another release: {error}") from None
        model, similarity = algorithm.load(directory), GenreSimilarity.load(directory)
        n_movies = len(model.movie_ids)
        if len(similarity.combinations) != n_movies:
            raise ArtifactError(
                f"Model version {version} has {n_movies} movies, "
                f"and genres of {len(similarity.combinations)}."
            )
        return cls(manifest, model, similarity, load_identities(directory, n_movies))


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
        self._refused: dict[str, _Refusal] = {}
        self._wanted: str | None = None
        self._refreshing = threading.Lock()
        self._others: tuple[tuple[str, str], NDArray[np.bool_]] | None = None

    @property
    def version(self) -> str | None:
        """The version in memory, None if there is none yet."""
        return self._loaded.manifest.version if self._loaded else None

    def data_fingerprint(self) -> str:
        """Return what tells the data that are in the database now from all others."""
        with self._engine.connect() as connection:
            return queries.data_fingerprint(connection)

    def refresh(self) -> None:
        """Take over the current version if it is another one than that in memory.

        The new one is loaded beside the old; who computes with the old one finishes with it. A version that
        cannot be served is refused with one log line, and the old one serves on; without an old one, the
        newest sound version on disk is taken. What was refused is not looked at again, unless it only could
        not be read, for a while, or becomes the current version anew. Of several threads one loads, and the
        others wait for it.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        wanted = None
        try:
            wanted = self._store.current_version()
        except ArtifactError as error:
            self._refuse(_POINTER, error)
        else:
            self._refused.pop(_POINTER, None)
        if wanted != self._wanted:
            self._wanted = wanted
            if wanted is not None:
                self._refused.pop(wanted, None)
        if wanted is not None and wanted != self.version and self._take_over(wanted):
            return
        if self._loaded is None:
            for manifest in self._store.versions():
                if self._take_over(manifest.version):
                    return

    def _take_over(self, version: str) -> bool:
        """Load a version; tell whether it serves now."""
        refusal = self._refused.get(version)
        if refusal is not None and time.monotonic() < refusal.until:
            return False
        try:
            self._loaded = LoadedModel.load(self._store, version)
        except ArtifactError as error:
            self._refuse(version, error)
            return False
        self._refused.pop(version, None)
        log.info("model taken over", version=version)
        return True

    def _refuse(self, version: str, error: ArtifactError) -> None:
        before, reason = self._refused.get(version), str(error)
        if before is None or before.reason != reason:
            log.error("model refused", version=version, reason=reason, serving=self.version)
        passes = isinstance(error, UnreadableArtifactError)
        self._refused[version] = _Refusal(reason, time.monotonic() + _RETRY_SECONDS if passes else math.inf)

    def rank(self, kind: Kind, ids: Sequence[int]) -> list[Ranking | None]:
        """Rank movies for each user or movie of a batch.

        If the model was trained on other data than the database holds, movies that are not the same there
        count for nothing: they are neither shown, nor do their ratings say anything.

        Returns
        -------
        list of Ranking or None
            None for a user who has rated nothing.

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

    def _suggest(self, loaded: LoadedModel, user_ids: Sequence[int]) -> list[Ranking | None]:
        with self._engine.connect() as connection:  # all of it as of one moment
            fingerprint = queries.data_fingerprint(connection)
            ratings = ratings_of(connection, set(user_ids))
            others = self._find_others(loaded, fingerprint, connection)
        raters = set(ratings.user_ids.tolist())
        existing = [user_id for user_id in user_ids if user_id in raters]
        if not existing:
            return [None] * len(user_ids)
        if others is None:
            batch = ratings_batch(existing, *ratings)
        else:
            columns = loaded.model.columns(ratings.movie_ids.astype(np.int32))
            same = (columns < 0) | ~others[columns]
            batch = ratings_batch(existing, *(array[same] for array in ratings))
            # Nor is a user of that id who was trained on the same one.
            batch = replace(batch, user_ids=np.zeros_like(batch.user_ids))
        best = loaded.model.best(batch, RULES[Kind.SUGGESTED].limit, others)
        ranked = iter(
            self._rankings(
                loaded,
                fingerprint,
                Kind.SUGGESTED,
                [columns for columns, _ in best],
                loaded.model.clip(_joined([scores for _, scores in best])),
            )
        )
        return [next(ranked) if user_id in raters else None for user_id in user_ids]

    def _find_similar(self, loaded: LoadedModel, movie_ids: Sequence[int]) -> list[Ranking | None]:
        with self._engine.connect() as connection:
            fingerprint = queries.data_fingerprint(connection)
            others = self._find_others(loaded, fingerprint, connection)
        nearest: list[NDArray[np.intp]] = []
        cosines: list[Float] = []
        for column in loaded.model.columns(np.asarray(movie_ids, dtype=np.int32)):
            # A movie that was imported after the training has no neighbours yet.
            known = column >= 0 and (others is None or not others[column])
            found = loaded.similarity.nearest(int(column), others) if known else _NOTHING
            nearest.append(found[0])
            cosines.append(found[1])
        return [*self._rankings(loaded, fingerprint, Kind.SIMILAR, nearest, _joined(cosines))]

    def _find_others(
        self, loaded: LoadedModel, fingerprint: str, connection: Connection
    ) -> NDArray[np.bool_] | None:
        """Return which columns are no movies of the database, None for a model of its data."""
        if loaded.manifest.data.fingerprint == fingerprint:
            return None
        case = loaded.manifest.version, fingerprint
        if self._others is None or self._others[0] != case:
            movies = list(queries.all_movies(connection))
            found = identities(
                (movie.title for movie in movies), ("|".join(movie.genres) for movie in movies)
            )
            found_ids = [movie.movie_id for movie in movies]
            others = other_movies(loaded.model.movie_ids, loaded.movies, found_ids, found)
            log.warning(
                "the model was trained on other data than the database holds; train anew",
                version=loaded.manifest.version,
                trained_on=loaded.manifest.data.fingerprint,
                data=fingerprint,
                movies=len(others),
                movies_left_out=int(others.sum()),
            )
            self._others = case, others
        return self._others[1]

    @staticmethod
    def _rankings(
        loaded: LoadedModel,
        fingerprint: str,
        kind: Kind,
        columns: list[NDArray[np.intp]],
        scores: Float,
    ) -> list[Ranking]:
        """Make a ranking of each array of columns; their scores are one behind the other."""
        decimals = RULES[kind].decimals
        outdated = loaded.manifest.data.fingerprint != fingerprint
        # All at once: for one ranking NumPy takes longer to begin than to compute.
        movie_ids = loaded.model.movie_ids[np.concatenate(columns)].tolist()
        shown = np.rint(scores * 10**decimals).astype(np.int64).tolist()
        ends = list(accumulate(len(own) for own in columns))
        return [
            Ranking(
                loaded.manifest.version,
                fingerprint,
                decimals,
                movie_ids[start:end],
                shown[start:end],
                outdated=outdated,
            )
            for start, end in pairwise([0, *ends])
        ]


def _joined(arrays: Sequence[Float]) -> Float:
    return cast(Float, np.concatenate(arrays))
