"""Lists the models, by the names of their algorithms."""

from shared.algorithms import config_class
from worker.models.base import Model
from worker.models.bayes.model import BayesModel
from worker.models.svd import SvdModel

MODELS: dict[str, type[Model]] = {model.algorithm: model for model in (BayesModel, SvdModel)}


def model_class(algorithm: str) -> type[Model]:
    """Return the model of an algorithm.

    Raises
    ------
    ConfigurationError
        If there is no such algorithm.
    """
    config_class(algorithm)
    return MODELS[algorithm]
