"""A model whose scores are no stars: it ranks, and nothing takes its scores for estimates."""

import json
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.algorithms import AlgorithmConfig, SvdConfig
from shared.artifacts.store import ArtifactStore
from shared.datasets.formats import read_dataset
from shared.errors import ArtifactError
from shared.progress import Progress, silent
from tests.conftest import Trained
from worker.evaluation import Contender, cross_validate, render_table, write_results
from worker.models.base import Model, Scale
from worker.models.ratings import RatingsBatch, ratings_batch
from worker.models.registry import MODELS
from worker.models.training_data import TrainingData
from worker.serving import LoadedModel
from worker.training.pipeline import train


class Popularity(Model):
    """Ranks movies by their numbers of ratings."""

    algorithm: ClassVar[str] = "svd"  # takes its place in the registry

    def __init__(
        self, movie_ids: NDArray[np.int32], scale: Scale | None, counts: NDArray[np.generic]
    ) -> None:
        super().__init__(movie_ids, scale)
        self.counts = counts

    @classmethod
    def fit(cls, data: TrainingData, config: AlgorithmConfig, progress: Progress = silent) -> Self:
        counts = np.bincount(data.movies, minlength=len(data.catalogue.movie_ids))
        return cls(data.catalogue.movie_ids, None, counts)

    def _solve(self, batch: RatingsBatch) -> int:
        return len(batch)

    def _score(self, users: int) -> NDArray[np.float64]:
        return self._score_exactly(users, np.arange(len(self.movie_ids)))

    def _score_exactly(self, users: int, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.tile(self.counts[columns].astype(np.float64), (users, 1))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"counts": self.counts}

    @classmethod
    def from_arrays(
        cls, movie_ids: NDArray[np.int32], scale: Scale | None, arrays: dict[str, NDArray[np.generic]]
    ) -> Self:
        return cls(movie_ids, scale, arrays["counts"])


@pytest.fixture(autouse=True)
def popularity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "svd", Popularity)


def test_its_scores_are_never_clipped_and_it_is_saved_as_it_is(tmp_path: Path) -> None:
    model = Popularity(np.array([7, 9], dtype=np.int32), None, np.array([1000, 3]))
    model.save(tmp_path)
    loaded = Popularity.load(tmp_path)
    assert loaded.scale is None
    ((columns, scores),) = loaded.best(ratings_batch([0], [], [], []), 2)
    assert (columns.tolist(), loaded.clip(scores).tolist()) == ([0, 1], [1000.0, 3.0])


def test_an_evaluation_measures_its_order_and_no_errors_of_stars(movielens_dir: Path, tmp_path: Path) -> None:
    contenders = [Contender.parse("bayes:n_sweeps=4,n_factors=2", 0), Contender.parse("svd", 0)]
    evaluation = cross_validate(read_dataset(movielens_dir), contenders, n_folds=2, seed=0)
    table = render_table(evaluation)
    (row,) = (line for line in table.split("SVD")[1].splitlines() if line.startswith("RMSE (testset)"))
    assert row.split()[2:] == ["-"] * 4
    (against,) = (line for line in table.splitlines() if line.startswith("  against Bayes"))
    assert against.split()[-1] == "-"
    write_results(evaluation, tmp_path, tmp_path / "all.json")
    rated, ranked = json.loads(
        (tmp_path / "all.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )["results"]
    assert rated["rmse"]["mean"] > 0
    assert ranked["rmse"] == ranked["mae"] == {"mean": None, "std": None, "folds": [None, None]}
    assert ranked["ndcg_at_10"]["mean"] > 0


def test_it_is_not_served_as_estimates(trained: Trained, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    version = train(trained.engine, store, SvdConfig(), keep=1).version
    with pytest.raises(ArtifactError, match="estimates no stars"):
        LoadedModel.load(store, version)
