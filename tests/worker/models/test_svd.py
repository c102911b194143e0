"""Our svd is Surprise's, number by number."""

import numpy as np

from shared.database import bulk
from tests.conftest import Trained
from tests.surprise_reference import surprise_with
from worker.models.ratings import ratings_batch
from worker.models.svd import SvdModel
from worker.training.pipeline import training_data


def test_estimates_are_those_of_surprise(trained: Trained) -> None:
    model = SvdModel.load(trained.store.path(trained.manifest.version))
    data = training_data(bulk.read_dataset(trained.engine)[1])
    algorithm = surprise_with(model, data)
    for user in np.random.default_rng(0).permutation(len(data.user_ids))[:5].tolist():
        scores = model.clip(model.score(ratings_batch([int(data.user_ids[user])], [], [], [])))[0]
        expected = [algorithm.predict(user, movie).est for movie in range(len(data.catalogue.movie_ids))]
        np.testing.assert_allclose(scores, expected, atol=1e-12, rtol=0)
