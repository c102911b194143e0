"""What every similarity promises, and that one line in the registry is enough to have one."""

from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.contract.kinds import RULES, Kind
from shared.errors import ArtifactError
from tests.conftest import Trained
from tests.worker.similarity.data import rated_once
from worker.models.training_data import TrainingData
from worker.serving import LoadedModel
from worker.similarity.base import Similarity
from worker.similarity.registry import SIMILARITIES
from worker.training.pipeline import train

DATA = rated_once(["Action|Comedy", "Comedy|Action", "Drama", "Action", "", "Comedy", "Drama|War"] * 40)


@pytest.fixture(scope="module", params=sorted(SIMILARITIES))
def similarity(request: pytest.FixtureRequest) -> Similarity:
    return SIMILARITIES[request.param].fit(DATA)


def test_it_knows_all_movies(similarity: Similarity) -> None:
    assert similarity.n_movies == len(DATA.catalogue.movie_ids)


def test_neighbours_are_few_ordered_and_never_the_movie_itself(similarity: Similarity) -> None:
    rule = RULES[Kind.SIMILAR]
    for column in (0, 3, similarity.n_movies - 1):
        columns, scores = similarity.nearest(column)
        assert 0 < len(columns) == len(set(columns.tolist())) == len(scores) <= rule.limit
        assert column not in columns
        np.testing.assert_array_equal(scores, np.round(scores, rule.decimals))
        assert 0 <= scores.min() <= scores.max() <= rule.highest
        places = list(zip(-scores, columns, strict=True))
        assert places == sorted(places)


def test_excluded_movies_are_never_returned(similarity: Similarity) -> None:
    excluded = np.zeros(similarity.n_movies, dtype=bool)
    excluded[similarity.nearest(0)[0][:5]] = True
    columns, _ = similarity.nearest(0, excluded)
    assert len(columns)
    assert not excluded[columns].any()


def test_what_is_saved_is_loaded(similarity: Similarity, tmp_path: Path) -> None:
    assert not similarity.is_saved(tmp_path)
    similarity.save(tmp_path)
    assert similarity.is_saved(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    loaded = type(similarity).load(tmp_path)
    for column in range(7):
        for mine, theirs in zip(similarity.nearest(column), loaded.nearest(column), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("damage", ["missing", "not finite"])
def test_unusable_files_are_an_error_of_ours(similarity: Similarity, tmp_path: Path, damage: str) -> None:
    similarity.save(tmp_path)
    for name, array in similarity.arrays().items():
        path = similarity.path(tmp_path, name)
        if damage == "missing":
            path.unlink()
        else:
            np.save(path, np.full(array.shape, np.nan))
    with pytest.raises(ArtifactError, match=f"usable {similarity.contents}"):
        type(similarity).load(tmp_path)


class Neighbourly(Similarity):
    """Each movie is like the next one, and like no other."""

    name = "neighbourly"
    contents = "neighbours"
    array_names = ("next",)

    def __init__(self, following: NDArray[np.generic]) -> None:
        self.following = following

    @classmethod
    def fit(cls, data: TrainingData) -> Self:
        return cls(np.roll(np.arange(len(data.catalogue.movie_ids)), -1))

    @property
    def n_movies(self) -> int:
        return len(self.following)

    def nearest(
        self, column: int, excluded: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        return self.following[column : column + 1].astype(np.intp), np.ones(1)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"next": self.following}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Self:
        return cls(arrays["next"])


def test_one_that_is_registered_is_fitted_stored_and_loaded(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    config = SvdConfig(n_epochs=1, n_factors=2)
    older = train(trained.engine, store, config, keep=3).version
    monkeypatch.setitem(SIMILARITIES, Neighbourly.name, Neighbourly)
    newer = train(trained.engine, store, config, keep=3).version
    assert "similarity.neighbourly.next.npy" in store.manifest(newer).files
    loaded = LoadedModel.load(store, newer).similarities
    assert set(loaded) == set(SIMILARITIES)
    assert loaded["neighbourly"].nearest(0)[0].tolist() == [1]
    assert set(LoadedModel.load(store, older).similarities) == set(SIMILARITIES) - {"neighbourly"}
