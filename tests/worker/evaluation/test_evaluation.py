import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import surprise

from shared.datasets.formats import read_dataset
from shared.datasets.generate import generate
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError, DataError
from worker.evaluation import Contender, Split, cross_validate, render_table, write_results
from worker.evaluation.cross_validation import part_of, predict
from worker.models.svd import SvdModel
from worker.training.pipeline import training_data

SVD = Contender.parse("svd:n_epochs=5,n_factors=10", seed=0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    directory = tmp_path_factory.mktemp("data") / "tiny"
    generate(directory, n_ratings=4_000, n_users=300, n_movies=200, seed=1)
    return read_dataset(directory)


def test_estimates_on_a_fold_are_those_of_surprise(dataset: Dataset) -> None:
    """The whole way of a fold: fit on a part, estimate the rest."""
    data = training_data(dataset)
    is_test = np.random.default_rng(0).random(len(data.ratings)) < 0.2
    from shared.algorithms import SvdConfig

    train = part_of(data, ~is_test)
    model = SvdModel.fit(train, SvdConfig(n_epochs=5, n_factors=10, seed=3))
    import pandas as pd

    frame = pd.DataFrame(
        {"user": data.users[~is_test], "movie": data.movies[~is_test], "rating": data.ratings[~is_test]}
    )
    trainset = surprise.Dataset.load_from_df(
        frame, surprise.Reader(rating_scale=data.scale)
    ).build_full_trainset()
    reference = surprise.SVD(n_epochs=5, n_factors=10, random_state=3)
    reference.fit(trainset)
    expected = [
        reference.predict(user, movie).est
        for user, movie in zip(data.users[is_test].tolist(), data.movies[is_test].tolist(), strict=True)
    ]
    np.testing.assert_allclose(predict(model, data, is_test).estimates, expected, atol=1e-9)


def test_every_rating_is_tested_once_and_twice_gives_the_same(dataset: Dataset) -> None:
    first = cross_validate(dataset, [SVD], n_folds=3, seed=4)
    second = cross_validate(dataset, [SVD], n_folds=3, seed=4, n_jobs=2)
    assert first.values(SVD, "rmse") == second.values(SVD, "rmse")
    assert first.values(SVD, "rmse") != cross_validate(dataset, [SVD], n_folds=3, seed=5).values(SVD, "rmse")
    assert 0.5 < np.mean(first.values(SVD, "rmse")) < 1.2


def test_results_are_written_as_table_and_json(dataset: Dataset, tmp_path: Path) -> None:
    evaluation = cross_validate(dataset, [SVD], n_folds=2, seed=0)
    paths = write_results(evaluation, tmp_path, tmp_path / "all.json")
    assert [path.name for path in paths] == [
        "performance_SVD_n_epochs_5_n_factors_10_tiny.txt",
        "performance_SVD_n_epochs_5_n_factors_10_tiny.json",
        "all.json",
    ]
    assert paths[0].read_text(encoding="utf-8") == render_table(evaluation)
    document = json.loads(paths[2].read_text(encoding="utf-8"))
    assert (document["dataset"], document["folds"], document["seed"]) == ("tiny", 2, 0)
    rmse = document["results"][0]["rmse"]
    assert rmse["mean"] == pytest.approx(np.mean(rmse["folds"]))
    row = next(line for line in paths[0].read_text(encoding="utf-8").splitlines() if line.startswith("RMSE"))
    assert row.split()[2:] == [f"{value:.4f}" for value in [*rmse["folds"], rmse["mean"], rmse["std"]]]


def test_more_folds_than_ratings_are_refused(dataset: Dataset) -> None:
    few = Dataset("few", dataset.movies, dataset.ratings.iloc[:3], dataset.tags)
    with pytest.raises(DataError, match="too few for 5 folds"):
        cross_validate(few, [SVD], n_folds=5, seed=0)


def test_a_temporal_split_tests_the_newest_part(dataset: Dataset) -> None:
    from worker.evaluation.cross_validation import fold_numbers

    data = training_data(dataset)
    fold_of = fold_numbers(data, 5, 0, Split.TEMPORAL)
    newest = fold_of == 4
    assert newest.sum() == pytest.approx(len(fold_of) / 5, abs=1)
    assert data.timestamps[~newest].max() <= data.timestamps[newest].min()
    evaluation = cross_validate(dataset, [SVD], n_folds=5, seed=0, split=Split.TEMPORAL)
    assert len(evaluation.results[SVD]) == 1


def test_figures_of_a_fold_are_sane(dataset: Dataset) -> None:
    (first, second) = cross_validate(dataset, [SVD], n_folds=2, seed=0).results[SVD]
    for fold in (first, second):
        assert fold.mae < fold.rmse
        assert 0 < fold.ndcg_at_10 < 1
        assert 0 < fold.recall_at_20 < 1
        assert 0 < fold.coverage <= 1
        assert fold.fit_seconds > 0
        assert fold.test_seconds > 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell")
def test_the_peak_of_a_fold_is_what_it_takes_at_once(
    monkeypatch: pytest.MonkeyPatch, dataset: Dataset
) -> None:
    """Sixty megabytes more for a moment, long given back when the fold is over."""
    fit = SvdModel.fit

    def with_much(*arguments: Any) -> SvdModel:
        assert np.ones(60 << 20, dtype=np.uint8).all()
        return fit(*arguments)

    monkeypatch.setattr(SvdModel, "fit", with_much)
    for fold in cross_validate(dataset, [SVD], n_folds=2, seed=0).results[SVD]:
        assert 55 < fold.peak_megabytes < 200


def test_contenders_are_read_and_wrong_ones_refused() -> None:
    assert Contender.parse("svd", 3).config.seed == 3
    assert Contender.parse("svd", 0).title == "SVD"
    assert Contender.parse("bayes:n_factors=8,rated_rank=0", 0).title == "Bayes n_factors=8,rated_rank=0"
    for text in ("magic", "svd:n_epochs", "svd:n_epochs=none", "svd:colour=1"):
        with pytest.raises(ConfigurationError):
            Contender.parse(text, 0)


def test_several_contenders_are_compared(dataset: Dataset, tmp_path: Path) -> None:
    contenders = [SVD, Contender.parse("bayes:n_sweeps=10,n_factors=4", 0)]
    evaluation = cross_validate(dataset, contenders, n_folds=2, seed=0)
    paths = {path.name: path for path in write_results(evaluation, tmp_path, None)}
    table = paths["comparison_tiny.txt"].read_text(encoding="utf-8")
    assert "against SVD" in table
    assert table in render_table(evaluation)
    assert paths["comparison_tiny.png"].read_bytes().startswith(b"\x89PNG")
