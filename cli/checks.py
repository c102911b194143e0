"""Health of a worker, for supervisors that can only run a command."""

import time
from pathlib import Path

from cli.console import output
from shared.errors import ServiceError

_FRESH_SECONDS = 10.0


def check_worker(heartbeat_file: Path) -> None:
    """Print how old the last heartbeat is.

    Raises
    ------
    ServiceError
        If there is none, or it is old: the worker is dead, hangs, or cannot reach Redis.
    """
    try:
        age = time.time() - heartbeat_file.stat().st_mtime
    except FileNotFoundError:
        raise ServiceError(f"No worker has run here: there is no {heartbeat_file}.") from None
    if age > _FRESH_SECONDS:
        raise ServiceError(f"The last heartbeat is {age:.0f} s old.")
    output.print(f"alive, last heartbeat {age:.1f} s ago")
