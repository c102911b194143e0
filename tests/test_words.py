"""The words of earlier versions are gone: each thing has one name, that of the glossary."""

import re

import pytest

from tests.documents import text_of, tracked

OLD_WORDS = {
    r"\b[Ff]leets?\b|FLEET_|_fleet\b": "workers",
    r"(?<![Ss]ingle )(?<![Ii]n-)\b[Ff]lights?\b|test_flights": "pending question",
    r"\blanded\b|\blanding\b|\.land\(|\b[Tt]akes? off\b|\btake[-_]?off\b": "resolved, resolve, start",
    r"\b[Dd]oors?\b|\b_?door_|_door\b|turn(s|ed|ing)?[_ ]away\b": "load shedder, shed",
    r"\bAnswerMemory\b|\b(state|context)\.memory\b|\bmemory\.(put|get|token)\(": "answer cache",
    r"\bstate_of\b|\bopen_state\b|\bstate: State\b|gateway\.context import .*\bState\b": "gateway context",
    r"\b_?[Pp]ulse\b": "heartbeat thread",
    r"(?<!\")\bprofiles\b(?!\")": "user ratings",
    r"\bgateway[./]paths\b": "urls",
    r"\bPatience\b|_patience\b|\bpatience\.": "wait timer",
    r"\b[Tt]all(y|ies)\b": "request counts",
    r"\bMemoryProtocol\b": "fast path protocol",
    r"\b[Tt]ak(e|es|en|ing) over\b|\btook over\b|take[ns]?_over": "switch to",
    r"\btak(e|es|ing) \w+(?: \w+)? over\b": "switch to",
    r"\b[Rr]oads?\b|test_ways": "harness, fast path, plain path",
    r"\bentity_ids?\b": "subject",
}
"""Patterns of what is not said any more, and what is said instead."""

_MAY_HAVE_THEM = ("CHANGELOG.md", "tests/test_words.py", "shared/datasets/generate/words.py", "results/")
_TEXT = (".py", ".md", ".lua", ".toml", ".yml", ".yaml", ".example", "Makefile", "Dockerfile", ".ci/run")


def _found(pattern: str) -> list[str]:
    """Return where something is said, as ``path:line: text``; names of files count as well."""
    word = re.compile(pattern)
    found = []
    for path in sorted(tracked()):
        if path.startswith(_MAY_HAVE_THEM) or not path.endswith(_TEXT):
            continue
        if word.search(path):
            found.append(path)
        found += [
            f"{path}:{number}: {line.strip()}"
            for number, line in enumerate(text_of(path).splitlines(), 1)
            if word.search(line)
        ]
    return found


@pytest.mark.parametrize("pattern", OLD_WORDS)
def test_an_old_word_is_gone(pattern: str) -> None:
    found = _found(pattern)
    assert not found, f"say {OLD_WORDS[pattern]} instead"


@pytest.mark.parametrize(
    "line",
    [
        "class Fleet:",
        "keys.FLEET_CHANNEL",
        "flights = {}",
        "the flight has landed",
        "door.turns_away(question)",
        "refused at the door",
        "self._turned_away += 1",
        "state.memory.put(path)",
        "Depends(state_of)",
        "from gateway.context import State",
        "the pulse of a worker",
        "class Patience:",
        "tally.count()",
        "MemoryProtocol",
        "model taken over",
        "a worker takes over another model",
        "workers take the model over",
        "self._take_over(version)",
        "the road from question to answer",
        "tests/gateway/test_ways.py",
        "for entity_id in ids:",
    ],
)
def test_what_counts_as_an_old_word(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in OLD_WORDS)


@pytest.mark.parametrize(
    "line",
    [
        "a single flight for all",
        "in-flight requests",
        "app.state",
        "memory in use",
        "the state of a job",
        "landscape",
    ],
)
def test_what_does_not(line: str) -> None:
    assert not any(re.search(pattern, line) for pattern in OLD_WORDS)
