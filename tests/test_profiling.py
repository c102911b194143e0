"""Which process is profiled."""

import sys

import pytest

from tests import profiling


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([sys.executable, "-m", "cli.main", "gateway", "--port", "8000"], True),
        ([sys.executable, "-P", "/somewhere/bin/movierec", "gateway"], True),
        ([sys.executable, "-m", "cli.main", "worker", "--queue", "gateway"], False),
        (["/another/python", "-m", "cli.main", "gateway"], False),
        (["grep", "cli.main", "gateway"], False),
    ],
)
def test_the_process_to_profile_is_found_by_its_command(words: list[str], found: bool) -> None:
    assert profiling.is_ours(words, "gateway") == found
