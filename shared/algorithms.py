"""The algorithms a model can be trained with, and their parameters.

Both sides need this: the gateway refuses a bad request before it becomes a job, the worker trains.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import ConfigurationError


class AlgorithmConfig(BaseModel):
    """Parameters of an algorithm; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: ClassVar[str]
    title: ClassVar[str]
    """What tables and file names call it, e.g. ``SVD``."""

    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the random numbers.")


class SvdConfig(AlgorithmConfig):
    """Parameters of scikit-surprise's SVD, with its defaults."""

    algorithm = "svd"
    title = "SVD"

    n_factors: int = Field(default=100, ge=1, le=1000, description="Factors of each user and movie.")
    n_epochs: int = Field(default=20, ge=1, le=1000, description="Passes over the ratings.")
    lr_all: float = Field(default=0.005, gt=0, le=1, description="Learning rate.")
    reg_all: float = Field(default=0.02, ge=0, le=10, description="L2 penalty.")


CONFIGS: dict[str, type[AlgorithmConfig]] = {config.algorithm: config for config in (SvdConfig,)}
DEFAULT_ALGORITHM = "svd"


def config_class(algorithm: str) -> type[AlgorithmConfig]:
    """Return the parameters' class of an algorithm.

    Raises
    ------
    ConfigurationError
        If there is no such algorithm.
    """
    try:
        return CONFIGS[algorithm]
    except KeyError:
        raise ConfigurationError(
            f"There is no algorithm {algorithm!r}; choose one of: {', '.join(sorted(CONFIGS))}."
        ) from None
