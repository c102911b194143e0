"""Surprise itself, with the factors of a stored model."""

import pandas as pd
import surprise

from worker.models.svd import SvdModel
from worker.models.training_data import TrainingData


def surprise_with(model: SvdModel, data: TrainingData) -> surprise.SVD:
    """Return Surprise's SVD that predicts with the factors of ``model``.

    Its users and movies are indices into those of ``data``, which the model was trained on.
    """
    frame = pd.DataFrame({"user": data.users, "movie": data.movies, "rating": data.ratings})
    reader = surprise.Reader(rating_scale=data.scale)
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    users = [trainset.to_raw_uid(inner) for inner in trainset.all_users()]
    movies = [trainset.to_raw_iid(inner) for inner in trainset.all_items()]
    algorithm = surprise.SVD()
    algorithm.trainset = trainset
    algorithm.pu, algorithm.bu = model.user_factors[users], model.user_biases[users]
    algorithm.qi, algorithm.bi = model.item_factors[movies], model.item_biases[movies]
    return algorithm
