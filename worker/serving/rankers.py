"""Answers each kind of question by a function of its own, listed in :data:`RANKERS`.

To answer another kind, write its function here or in a module of its own, and add it to the table.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from shared.contract.kinds import RULES, Kind
from shared.contract.question import Question
from shared.database.user_ratings import ratings_of
from shared.rankings.ranking import Ranking
from worker.arrays import Float
from worker.models.ratings import ratings_batch
from worker.serving.loaded_model import LoadedModel
from worker.serving.snapshots import Snapshot, Snapshots
from worker.similarity.registry import DEFAULT_SIMILARITY

Ranker = Callable[[LoadedModel, Snapshots, Sequence[Question]], list[Ranking | None]]
"""Answers questions of one kind, in their order; None for a subject that does not exist."""

_NOTHING: tuple[NDArray[np.intp], Float] = (np.empty(0, dtype=np.intp), np.empty(0))


def suggest(loaded: LoadedModel, snapshots: Snapshots, questions: Sequence[Question]) -> list[Ranking | None]:
    """Rank the movies that users have not rated; None for a user without ratings."""
    user_ids = [question.subject for question in questions]
    with snapshots.take(loaded) as snapshot:
        ratings = ratings_of(snapshot.connection, set(user_ids))
    left_out = snapshot.left_out
    raters = set(ratings.user_ids.tolist())
    existing = [user_id for user_id in user_ids if user_id in raters]
    if not existing:
        return [None] * len(user_ids)
    if left_out is None:
        batch = ratings_batch(existing, *ratings)
    else:
        columns = loaded.model.columns(ratings.movie_ids.astype(np.int32))
        same = (columns < 0) | ~left_out[columns]
        batch = ratings_batch(existing, *(array[same] for array in ratings))
        # A user of that id who was trained on may be somebody else.
        batch = replace(batch, user_ids=np.zeros_like(batch.user_ids))
    best = loaded.model.best(batch, RULES[Kind.SUGGESTED].limit, left_out)
    ranked = iter(
        _rankings(
            loaded,
            snapshot,
            Kind.SUGGESTED,
            [columns for columns, _ in best],
            loaded.model.clip(_joined([scores for _, scores in best])),
        )
    )
    return [next(ranked) if user_id in raters else None for user_id in user_ids]


def find_similar(
    loaded: LoadedModel, snapshots: Snapshots, questions: Sequence[Question]
) -> list[Ranking | None]:
    """Rank the movies most similar to others; a movie that the model does not know is like none."""
    with snapshots.take(loaded) as snapshot:
        left_out = snapshot.left_out
    similarity = loaded.similarities[DEFAULT_SIMILARITY]
    nearest: list[NDArray[np.intp]] = []
    cosines: list[Float] = []
    movie_ids = np.array([question.subject for question in questions], dtype=np.int32)
    for column in loaded.model.columns(movie_ids):
        # A movie that was imported after the training has no neighbours yet.
        known = column >= 0 and (left_out is None or not left_out[column])
        found = similarity.nearest(int(column), left_out) if known else _NOTHING
        nearest.append(found[0])
        cosines.append(found[1])
    return [*_rankings(loaded, snapshot, Kind.SIMILAR, nearest, _joined(cosines))]


RANKERS: dict[Kind, Ranker] = {Kind.SUGGESTED: suggest, Kind.SIMILAR: find_similar}


def _rankings(
    loaded: LoadedModel, snapshot: Snapshot, kind: Kind, columns: list[NDArray[np.intp]], scores: Float
) -> list[Ranking]:
    """Make a ranking of each array of columns; their scores are one behind the other."""
    decimals = RULES[kind].decimals
    outdated = loaded.manifest.data.fingerprint != snapshot.fingerprint
    # All at once: for one ranking NumPy takes longer to begin than to compute.
    movie_ids = loaded.model.movie_ids[np.concatenate(columns)].tolist()
    shown = np.rint(scores * 10**decimals).astype(np.int64).tolist()
    ends = list(accumulate(len(own) for own in columns))
    return [
        Ranking(
            loaded.manifest.version,
            snapshot.fingerprint,
            decimals,
            movie_ids[start:end],
            shown[start:end],
            outdated=outdated,
        )
        for start, end in pairwise([0, *ends])
    ]


def _joined(arrays: Sequence[Float]) -> Float:
    return cast(Float, np.concatenate(arrays))
