"""Finds damage in the append-only file of an embedded Redis, and sets damaged files aside."""

import re
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import ServiceError

_NAMES = ("appendonlydir", "appendonly.aof")
"""The directory that Redis writes from version 7 on, and the file before."""

_DAMAGE = re.compile(
    r"(bad file format|unexpected end of file|unknown command '.{0,60}') reading the append only file"
    r"|error reading the append only file .{0,80}, error: unknown command"
    r"|internal error in RDB reading|short read or OOM loading DB|terminating server after rdb file reading"
    r"|wrong RDB checksum|RDB CRC error|wrong signature trying to load"
    r"|AOF manifest file (error|format|contains)|empty AOF manifest|AOF manifest file .{0,80} is (in)?valid"
    r"|unable to obtain the AOF file .{0,80} no such file|the AOF file .{0,80} doesn't exist",
    re.IGNORECASE,
)
"""Log lines of Redis 6.2 to 8 and Valkey about a damaged file."""

_OTHER_CAUSE = re.compile(
    r"can't handle RDB format version|permission denied|out of memory|no space left|input/output error",
    re.IGNORECASE,
)
"""Log lines of other errors: the file may be sound, but written by a newer Redis or unreadable just now."""

_PREFIX = re.compile(r"^\S+ \S+ \S+ \S+ \S+ [.*#-] ")
"""Process, time and level at the start of a log line."""


class DamagedFileError(ServiceError):
    """Redis cannot read its append-only file."""


def require_manifest(directory: Path) -> None:
    """Check that files have a manifest: without it, Redis would silently start empty and overwrite them.

    Raises
    ------
    DamagedFileError
    """
    files = directory / _NAMES[0]
    if files.is_dir() and any(files.iterdir()) and not any(files.glob("*.manifest")):
        raise DamagedFileError("its manifest is missing")


def find_damage(log: Path, begin: int) -> str | None:
    """Return the log line about a damaged file of a Redis that ended at its start.

    Parameters
    ----------
    log : Path
        The log of Redis.
    begin : int
        Length of the log before that start.

    Returns
    -------
    str or None
        The line, None if Redis ended for another reason.
    """
    try:
        with log.open("rb") as file:
            file.seek(begin)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    if any(_OTHER_CAUSE.search(line) for line in lines):
        return None
    for line in lines:
        if _DAMAGE.search(line):
            # Redis advises to run a program that is not installed here.
            return _PREFIX.sub("", line).partition(": make a backup")[0].partition(". You can")[0].strip("* ")
    return None


def set_aside(directory: Path) -> list[Path]:
    """Rename the file or directory, so that Redis starts empty; return the new names."""
    moved = []
    for name in _NAMES:
        if (directory / name).exists():
            target = directory / f"{name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
            moved.append((directory / name).rename(target))
    return moved
