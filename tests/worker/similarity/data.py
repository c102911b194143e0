import numpy as np

from worker.models.training_data import ModelMovies, TrainingData


def rated_once(genres: list[str]) -> TrainingData:
    """Return movies with these genres, each of them rated by one user."""
    n_movies = len(genres)
    return TrainingData(
        catalogue=ModelMovies(
            movie_ids=np.arange(1, n_movies + 1, dtype=np.int32),
            rating_counts=np.ones(n_movies, dtype=np.int32),
            genres=genres,
            years=np.full(n_movies, 1990, dtype=np.int16),
        ),
        user_ids=np.ones(1, dtype=np.int32),
        users=np.zeros(n_movies, dtype=np.int32),
        movies=np.arange(n_movies, dtype=np.int32),
        ratings=np.full(n_movies, 4, dtype=np.float32),
        timestamps=np.full(n_movies, 10**9, dtype=np.int64),
        scale=(0.5, 5.0),
    )
