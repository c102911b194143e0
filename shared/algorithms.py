"""The algorithms a model can be trained with, and their parameters.

Both sides need this: the gateway refuses a bad request before it becomes a job, the worker trains.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class BayesConfig(AlgorithmConfig):
    """Parameters of the Bayesian model."""

    algorithm = "bayes"
    title = "Bayes"

    n_factors: int = Field(default=16, ge=1, le=128, description="Factors of each user and movie.")
    n_sweeps: int | None = Field(
        default=None,
        ge=2,
        le=10_000,
        description="Draws of everything; by default 200, from 4 million ratings on fewer, 40 at least.",
    )
    burn_in: int | None = Field(
        default=None, ge=1, le=10_000, description="Sweeps before the first kept sample; by default a third."
    )
    n_samples: int = Field(default=12, ge=1, le=256, description="Samples of the movie side that are kept.")
    noise_shape: float = Field(
        default=15.0, gt=0, le=1000, description="Shape of the gamma prior of users' noise precisions."
    )
    movie_noise_shape: float = Field(
        default=10.0, ge=0, le=1000, description="The same of movies; 0: all movies are rated as steadily."
    )
    movie_features: bool = Field(
        default=True, description="Prior means of movies from genres, year and number of ratings."
    )
    rated_rank: int = Field(
        default=64,
        ge=0,
        le=512,
        description="Dimensions of the implicit signal of what a user rated; 0: none.",
    )
    holdout: float = Field(
        default=0.005,
        ge=0,
        le=0.2,
        description="Part of the ratings that only measures progress, 20,000 at most.",
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        le=0.1,
        description="End burn-in when ten sweeps lower the held-out RMSE by less than this part; 0: never.",
    )
    max_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Plan as many sweeps as fit in this time; the result then depends on it.",
    )
    threads: int | None = Field(
        default=None, ge=1, description="Threads of the sampler; the result is the same for any number."
    )


CONFIGS: dict[str, type[AlgorithmConfig]] = {config.algorithm: config for config in (BayesConfig, SvdConfig)}
DEFAULT_ALGORITHM = "bayes"


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


def split_parameter(text: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``.

    Raises
    ------
    ConfigurationError
        If there is no ``=``.
    """
    name, found, value = text.partition("=")
    if not found:
        raise ConfigurationError(f"A parameter looks like NAME=VALUE, not {text!r}.")
    return name, value


def parse_config(algorithm: str, parameters: Mapping[str, Any], *, strict: bool = False) -> AlgorithmConfig:
    """Check an algorithm's parameters.

    Parameters
    ----------
    algorithm : str
        One of :data:`CONFIGS`.
    parameters : mapping of str to object
        Those that are not to have their defaults.
    strict : bool
        Whether types have to be right, as in JSON; else ``"5"`` is a number, as on a command line.

    Raises
    ------
    ConfigurationError
        If there is no such algorithm, or with each parameter that is unknown or out of its range.
    """
    # In JSON, 20.0 is a whole number.
    given = {
        name: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
        for name, value in parameters.items()
    }
    try:
        return config_class(algorithm).model_validate(given, strict=strict)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']} (given: {item['input']!r})"
            for item in error.errors()
        ]
        raise ConfigurationError(f"{algorithm} cannot be trained like that: {'; '.join(problems)}.") from None
