from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from shared.errors import ArtifactError
from tests.worker.similarity.data import rated_once
from worker.similarity.genres import GenreSimilarity

GENRES = ["Action|Comedy", "Comedy|Action", "Drama", "Action", "", "Comedy", "Drama|Romance|War", ""]


def test_cosines_are_those_of_scikit_learn() -> None:
    vectors = TfidfVectorizer(analyzer=lambda text: text.split("|") if text else []).fit_transform(GENRES)
    expected = np.round(cosine_similarity(vectors), 2)
    similarity = GenreSimilarity.fit(rated_once(GENRES))
    for column in range(len(GENRES)):
        columns, cosines = similarity.nearest(column)
        others = [other for other in range(len(GENRES)) if other != column and expected[column, other] > 0]
        assert sorted(columns.tolist()) == others
        np.testing.assert_array_equal(cosines, expected[column, columns])


def test_ties_go_to_the_better_known_movie() -> None:
    similarity = GenreSimilarity.fit(rated_once(["Drama"] * 5))
    assert similarity.nearest(2)[0].tolist() == [0, 1, 3, 4]


def test_at_most_a_hundred_and_never_itself() -> None:
    similarity = GenreSimilarity.fit(rated_once(["Drama", "Drama|War"] * 150))
    for column in (0, 1, 299):
        columns, cosines = similarity.nearest(column)
        assert len(columns) == len(set(columns.tolist())) == 100
        assert column not in columns
        assert (np.diff(cosines) <= 0).all()
        assert cosines.max() <= 1.0


def test_a_movie_without_genres_is_like_none() -> None:
    similarity = GenreSimilarity.fit(rated_once(GENRES))
    assert similarity.nearest(4)[0].size == 0


def test_a_catalogue_without_any_genres() -> None:
    assert GenreSimilarity.fit(rated_once(["", ""])).nearest(0)[0].size == 0


def test_the_names_of_its_files_stay(tmp_path: Path) -> None:
    """Versions of older releases have them."""
    GenreSimilarity.fit(rated_once(GENRES)).save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"similarity.vectors.npy", "similarity.combinations.npy"}


def test_missing_files_are_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="genre vectors"):
        GenreSimilarity.load(tmp_path)
