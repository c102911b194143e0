from pathlib import Path

import numpy as np
import pytest
import structlog

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.database import bulk
from shared.errors import ArtifactError
from tests.conftest import Trained, rank
from worker.serving import Serving
from worker.serving.rankers import RANKERS
from worker.training.pipeline import train


@pytest.fixture
def user_ids(trained: Trained) -> list[int]:
    ratings = bulk.read_dataset(trained.engine)[1].ratings
    return sorted(ratings["user_id"].unique().tolist())[:40]


def test_suggestions_are_unrated_ordered_and_in_the_scale(
    serving: Serving, trained: Trained, user_ids: list[int]
) -> None:
    ratings = bulk.read_dataset(trained.engine)[1].ratings
    for user_id, ranking in zip(user_ids, rank(serving, Kind.SUGGESTED, user_ids), strict=True):
        rated = set(ratings.loc[ratings["user_id"] == user_id, "movie_id"])
        assert not rated & set(ranking.movie_ids)
        assert len(ranking.movie_ids) == len(set(ranking.movie_ids)) == 150
        assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
        assert 500 <= ranking.scores[-1] <= ranking.scores[0] <= 5000
        assert ranking.version == trained.manifest.version
        assert (ranking.fingerprint, ranking.outdated) == (trained.manifest.data.fingerprint, False)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_batch_gives_the_same_bytes_as_single_jobs(
    serving: Serving, user_ids: list[int], kind: Kind
) -> None:
    together = rank(serving, kind, user_ids)
    for subject, ranking in zip(user_ids, together, strict=True):
        assert rank(serving, kind, [subject])[0].to_bytes() == ranking.to_bytes()


def test_a_movie_the_model_does_not_know_is_like_none(serving: Serving) -> None:
    assert rank(serving, Kind.SIMILAR, [2**31 - 1])[0].movie_ids == []


def test_without_a_model_nothing_is_ranked(trained: Trained, tmp_path: Path) -> None:
    serving = Serving(ArtifactStore(tmp_path), trained.engine)
    serving.refresh()
    assert serving.version is None
    with pytest.raises(ArtifactError, match="movierec train"):
        rank(serving, Kind.SUGGESTED, [1])


@pytest.fixture
def own_store(trained: Trained, tmp_path: Path) -> ArtifactStore:
    """Return a store that a test may damage, with two versions."""
    store = ArtifactStore(tmp_path / "model")
    for seed in (1, 2):
        train(trained.engine, store, SvdConfig(n_epochs=1, n_factors=2, seed=seed), keep=5)
    return store


def test_a_new_version_is_switched_to(trained: Trained, own_store: ArtifactStore) -> None:
    serving = Serving(own_store, trained.engine)
    serving.refresh()
    before = rank(serving, Kind.SUGGESTED, [1])[0]
    published = train(trained.engine, own_store, SvdConfig(n_epochs=2, n_factors=2), keep=5)
    assert rank(serving, Kind.SUGGESTED, [1])[0] == before
    serving.refresh()
    after = rank(serving, Kind.SUGGESTED, [1])[0]
    assert after.version == published.version != before.version


def _corrupt(store: ArtifactStore, version: str) -> None:
    path = store.path(version) / "svd.item_factors.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_a_corrupt_version_is_refused_once_and_the_old_one_serves(
    trained: Trained, own_store: ArtifactStore
) -> None:
    serving = Serving(own_store, trained.engine)
    serving.refresh()
    good = serving.version
    bad = train(trained.engine, own_store, SvdConfig(n_epochs=1, n_factors=2), keep=5).version
    _corrupt(own_store, bad)
    with structlog.testing.capture_logs() as logs:
        serving.refresh()
        serving.refresh()
    assert serving.version == good
    assert [entry["version"] for entry in logs if entry["event"] == "model refused"] == [bad]
    assert rank(serving, Kind.SUGGESTED, [1])[0].version == good


def test_a_start_with_a_corrupt_version_falls_back_to_the_one_before(
    trained: Trained, own_store: ArtifactStore
) -> None:
    newest, older = own_store.versions()
    _corrupt(own_store, newest.version)
    serving = Serving(own_store, trained.engine)
    with structlog.testing.capture_logs() as logs:
        serving.refresh()
        serving.refresh()
    assert serving.version == older.version
    assert sum(entry["event"] == "model refused" for entry in logs) == 1
    published = train(trained.engine, own_store, SvdConfig(n_epochs=1, n_factors=2, seed=9), keep=5)
    serving.refresh()
    assert serving.version == published.version


def test_a_pointer_to_nonsense_is_survived(trained: Trained, own_store: ArtifactStore) -> None:
    (own_store.directory / "current").write_text("../../etc/passwd", encoding="utf-8")
    serving = Serving(own_store, trained.engine)
    serving.refresh()
    assert serving.version == own_store.versions()[0].version


def test_a_serving_worker_needs_no_training_libraries() -> None:
    import subprocess
    import sys

    script = (
        "import sys, worker.process\n"
        "heavy = {'surprise', 'sklearn', 'pandas', 'pyarrow', 'numba', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_ranks_are_those_of_a_plain_computation(serving: Serving, trained: Trained) -> None:
    """The same by brute force, from the definition."""
    from worker.models.ratings import ratings_batch
    from worker.models.svd import SvdModel

    model = SvdModel.load(trained.store.path(trained.manifest.version))
    frame = bulk.read_dataset(trained.engine)[1].ratings
    user_id = int(frame["user_id"].iloc[0])
    own = frame[frame["user_id"] == user_id]
    batch = ratings_batch([user_id], own["user_id"], own["movie_id"], own["rating"])
    scores = dict(zip(model.movie_ids.tolist(), model.score(batch)[0].tolist(), strict=True))
    places = {movie_id: place for place, movie_id in enumerate(model.movie_ids.tolist())}
    unrated = [movie_id for movie_id in scores if movie_id not in set(own["movie_id"])]
    expected = sorted(unrated, key=lambda movie_id: (-scores[movie_id], places[movie_id]))[:150]
    ranking = rank(serving, Kind.SUGGESTED, [user_id])[0]
    assert ranking.movie_ids == expected
    assert model.scale is not None
    clipped = np.clip([scores[movie_id] for movie_id in expected], *model.scale)
    assert [f"{score / 1000:.3f}" for score in ranking.scores] == [f"{score:.3f}" for score in clipped]


def test_questions_of_several_kinds_are_answered_in_their_order(
    serving: Serving, user_ids: list[int]
) -> None:
    movie_id = rank(serving, Kind.SUGGESTED, user_ids[:1])[0].movie_ids[0]
    mixed = [
        Question(Kind.SIMILAR, movie_id),
        Question(Kind.SUGGESTED, user_ids[0]),
        Question(Kind.SUGGESTED, 2**31 - 1),
        Question(Kind.SIMILAR, 2**31 - 1),
    ]
    similar, suggested, unknown, nothing = serving.rank(mixed)
    assert [similar] == rank(serving, Kind.SIMILAR, [movie_id])
    assert [suggested] == rank(serving, Kind.SUGGESTED, user_ids[:1])
    assert unknown is None
    assert nothing is not None
    assert nothing.movie_ids == []


def test_every_kind_has_a_ranker() -> None:
    assert set(RANKERS) == set(Kind)
