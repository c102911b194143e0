"""Single requests to a server on loopback, without measuring, and waiting for it."""

import http.client
import time
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from benchmarks.load.contract import HOST
from shared.errors import ServiceError

_POLL_SECONDS = 0.005


def suggestions(user_id: int) -> str:
    """Return the path of a user's suggestions."""
    return f"/api/v1/users/{user_id}/suggested_movies"


class Reply(NamedTuple):
    """The answer to a single request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def get(port: int, path: str) -> Reply:
    """Send one request to a server on loopback."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read())


def wait_for(
    look: Callable[[], bool],
    what: str,
    seconds: float,
    problem: Callable[[], str | None] = lambda: None,
) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    look : callable
        The condition.
    what : str
        The condition in words.
    seconds : float
        Longest wait.
    problem : callable
        Returns why there is nothing to wait for any more, None otherwise.

    Raises
    ------
    ServiceError
        If the condition does not hold in time, or if there is a problem.
    """
    deadline = time.monotonic() + seconds
    while not look():
        found = problem()
        if found is not None or time.monotonic() > deadline:
            raise ServiceError(f"Not within {seconds:.0f} s: {what}.\n{found or ''}")
        time.sleep(_POLL_SECONDS)


def answers(port: int, path: str) -> bool:
    """Tell whether a server answers with 200."""
    try:
        return get(port, path).status == 200
    except (OSError, http.client.HTTPException):
        return False
