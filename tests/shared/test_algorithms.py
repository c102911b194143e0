"""Parameters that cannot be trained with are refused before anybody trains."""

import json
from typing import Any

import pytest

from shared.algorithms import CONFIGS, BayesConfig, parse_config
from shared.errors import ConfigurationError


@pytest.mark.parametrize(
    ("algorithm", "parameters", "words"),
    [
        ("bayes", {"max_seconds": float("inf")}, "max_seconds: .*finite.*given: inf"),
        ("bayes", {"max_seconds": "1e309"}, "max_seconds: .*finite.*given: '1e309'"),
        ("bayes", {"max_seconds": float("nan")}, "max_seconds: .*finite"),
        ("bayes", {"max_seconds": 1e12}, "max_seconds: .*less than or equal to 604800"),
        ("bayes", {"tolerance": float("nan")}, "tolerance: .*finite"),
        ("bayes", {"threads": 10**6}, "threads: .*less than or equal to 256"),
        ("bayes", {"n_sweeps": 2, "burn_in": 10_000}, "burn_in=10000 leaves no sweep.*n_sweeps=2"),
        ("bayes", {"n_sweeps": 20, "burn_in": 20}, "burn_in=20 leaves no sweep.*n_sweeps=20"),
        ("bayes", {"burn_in": 200}, "burn_in=200 leaves no sweep.*200 at most"),
        ("bayes", {"n_sweeps": 30, "n_samples": 21}, "n_samples=21 .*20 sweeps.*n_sweeps=30 and burn_in=10"),
        ("bayes", {"n_sweeps": 30, "burn_in": 26, "n_samples": 5}, "n_samples=5 .*the 4 sweeps"),
        ("svd", {"lr_all": float("nan")}, "lr_all: .*finite"),
        ("svd", {"reg_all": float("-inf")}, "reg_all: .*finite"),
        ("svd", {"seed": 2**32}, "seed: .*less than 4294967296"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_value(
    algorithm: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        parse_config(algorithm, parameters)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_sweeps": 2},
        {"n_sweeps": 20, "burn_in": 19},
        {"n_sweeps": 30, "n_samples": 20},
        {"burn_in": 199},
        {"n_samples": 256},
        {"max_seconds": 0.001},
    ],
)
def test_what_is_just_possible_is_taken(parameters: dict[str, Any]) -> None:
    parse_config("bayes", parameters)


@pytest.mark.parametrize("algorithm", sorted(CONFIGS))
def test_what_a_gateway_took_a_worker_takes(algorithm: str) -> None:
    config = parse_config(algorithm, {"n_sweeps": 6} if algorithm == "bayes" else {})
    travelled = json.loads(json.dumps(config.model_dump(mode="json")))
    assert parse_config(algorithm, travelled) == config


def test_a_long_or_deep_value_is_shown_in_short() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("9" * 100_000, deep, {"x" * 100_000: 1}):
        with pytest.raises(ConfigurationError) as refused:
            parse_config("bayes", {"n_factors": value, "y" * 100_000: value})
        assert len(str(refused.value)) < 1000


def test_the_limits_of_the_sweeps_are_those_of_the_documentation() -> None:
    assert (BayesConfig.fewest_sweeps, BayesConfig.most_sweeps) == (40, 200)
