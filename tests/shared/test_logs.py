"""No line of the log is written by somebody else, whatever they send."""

import os
import pty
import re
import subprocess
import sys

import orjson
import pytest

from tests.conftest import PROJECT

HOSTILE = [
    *(chr(code) for code in range(0x20)),
    *(chr(code) for code in range(0x7F, 0xA0)),
    "\u2028",
    "\u2029",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\u200f",
    "\ufeff",
    "\ud800",
    "\U000e0001",
]
FORGED = "2026-01-01T00:00:00Z [info    ] forged"

_SAY = """
import logging
import structlog
from shared.logs import configure_logging
from shared.settings import Settings
from tests.shared.test_logs import FORGED, HOSTILE

configure_logging(Settings())
log = structlog.get_logger("of ours")
for sign in HOSTILE:
    text = f"a{sign}{FORGED}"
    log.info("value", path=text)
    log.info("in a list", paths=[text], path=ValueError(text), raw=text.encode(errors="replace"))
    log.info(text)
    log.info("name", **{f"k{sign}y": 1})
    logging.getLogger("of a library").warning("it said %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("ours failed")
        logging.getLogger("of a library").exception("theirs failed")
log.info("told", title="Amélie — 千と千尋の神隠し", share=0.5, nothing=None)
"""
PER_SIGN = 7
EVENTS = PER_SIGN * len(HOSTILE) + 1


def said(log_format: str, *, terminal: bool = False) -> str:
    """Return what a process logs to a file, or to a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "LOG_FORMAT": log_format, "TERM": "xterm"}
    command = [sys.executable, "-c", _SAY]
    if not terminal:
        return subprocess.run(
            command, env=environment, stderr=subprocess.PIPE, check=True, timeout=60
        ).stderr.decode()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=environment, stderr=theirs)
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:  # how a terminal says that nobody holds its other end
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_for_people_hold_no_control_characters(terminal: bool) -> None:
    text = said("console", terminal=terminal)
    if terminal:
        assert "\x1b[" in text  # in colours, as structlog makes them
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    raw = {sign for sign in text if not sign.isprintable()}
    assert raw == {"\n"}
    events = [line for line in text.splitlines() if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", line)]
    assert len(events) == EVENTS
    assert not any(line.startswith(FORGED) for line in text.splitlines())
    assert "path=" in events[0]
    assert "nothing=None" in events[-1]
    assert "Amélie — 千と千尋の神隠し" in events[-1]
    assert "\n    Traceback (most recent call last):\n" in text
    assert f"\n    ValueError: a\\x1b{FORGED}" in text


def test_lines_for_machines_hold_none_either_and_say_the_same() -> None:
    text = said("json")
    assert {sign for sign in text if not sign.isprintable()} == {"\n"}
    events = [orjson.loads(line) for line in text.splitlines() if "\\ud800" not in line]
    assert len(events) == EVENTS - PER_SIGN
    hostile = [sign for sign in HOSTILE if sign != "\ud800"]
    values = [event["path"] for event in events if event["event"] == "value"]
    assert values == [f"a{sign}{FORGED}" for sign in hostile]
    assert len(text.splitlines()) == EVENTS
