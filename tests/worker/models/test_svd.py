"""Our svd is Surprise's, number by number."""

import numpy as np
import surprise

from shared.database import bulk
from tests.conftest import Trained
from worker.models.svd import SvdModel
from worker.training import training_data


def test_estimates_are_those_of_surprise(trained: Trained) -> None:
    """Put the stored factors back into Surprise and let it predict."""
    model = SvdModel.load(trained.store.path(trained.manifest.version))
    data = training_data(bulk.read_dataset(trained.engine)[1])
    reader = surprise.Reader(rating_scale=data.scale)
    algorithm = surprise.SVD()
    trainset = surprise.Dataset.load_from_df(_frame(data), reader).build_full_trainset()
    algorithm.trainset = trainset
    users = [trainset.to_raw_uid(inner) for inner in trainset.all_users()]
    movies = [trainset.to_raw_iid(inner) for inner in trainset.all_items()]
    algorithm.pu, algorithm.bu = model.user_factors[users], model.user_biases[users]
    algorithm.qi, algorithm.bi = model.item_factors[movies], model.item_biases[movies]

    some = np.random.default_rng(0).permutation(len(data.user_ids))[:5]
    for user in some.tolist():
        span = slice(*np.searchsorted(data.users, [user, user + 1]))
        batch = _batch(data, user, span)
        scores = model.clip(model.score(batch))[0]
        expected = [algorithm.predict(user, movie).est for movie in range(len(data.catalogue.movie_ids))]
        np.testing.assert_allclose(scores, expected, atol=1e-12, rtol=0)


def _frame(data):  # type: ignore[no-untyped-def]
    import pandas as pd

    return pd.DataFrame({"user": data.users, "movie": data.movies, "rating": data.ratings})


def _batch(data, user, span):  # type: ignore[no-untyped-def]
    from worker.models.base import RatingsBatch

    return RatingsBatch(
        user_ids=data.user_ids[[user]],
        indptr=np.array([0, span.stop - span.start]),
        movie_ids=data.catalogue.movie_ids[data.movies[span]],
        ratings=data.ratings[span],
        timestamps=data.timestamps[span],
    )
