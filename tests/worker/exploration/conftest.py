from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from shared.datasets.model import Dataset

Movie = tuple[int, str, int | None, str]
Rating = tuple[int, int, float]


def make_dataset(movies: Sequence[Movie], ratings: Sequence[Rating], name: str = "tiny") -> Dataset:
    """Build a data set with the columns and dtypes that the reader promises; ratings a minute apart."""
    movie_frame = pd.DataFrame(
        {
            "movie_id": np.array([movie[0] for movie in movies], dtype=np.int32),
            "title": pd.array([movie[1] for movie in movies], dtype="str"),
            "year": pd.array([movie[2] for movie in movies], dtype="Int16"),
            "genres": pd.array([movie[3] for movie in movies], dtype="str"),
        }
    )
    rating_frame = pd.DataFrame(
        {
            "user_id": np.array([rating[0] for rating in ratings], dtype=np.int32),
            "movie_id": np.array([rating[1] for rating in ratings], dtype=np.int32),
            "rating": np.array([rating[2] for rating in ratings], dtype=np.float32),
            "timestamp": 1_000_000_000 + 60 * np.arange(len(ratings), dtype=np.int64),
        }
    )
    tags = pd.DataFrame(
        {
            "user_id": np.array([], dtype=np.int32),
            "movie_id": np.array([], dtype=np.int32),
            "tag": pd.array([], dtype="str"),
            "timestamp": np.array([], dtype=np.int64),
        }
    )
    return Dataset(name, movie_frame, rating_frame, tags)


@pytest.fixture
def tiny() -> Dataset:
    """Return five movies, one without year and genres and one without ratings, and four users."""
    return make_dataset(
        movies=[
            (1, "Alpha (1990)", 1990, "Comedy|Drama"),
            (2, "Beta (1990)", 1990, "Drama"),
            (3, "Gamma (2000)", 2000, "Romance|Comedy|Drama"),
            (4, "Delta", None, ""),
            (5, "Epsilon (2005)", 2005, "Drama"),
        ],
        ratings=[(1, 1, 5), (1, 2, 3), (1, 3, 4), (2, 1, 4), (2, 2, 3), (3, 4, 5), (7, 1, 4.5)],
    )
