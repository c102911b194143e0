"""The path below which clients see the service, when a proxy shows it at another place than its root."""

from collections.abc import Iterable
from typing import Self

from gateway.http import urls
from shared.settings import PATH_PREFIX, GatewaySettings

_HEADER = b"x-forwarded-prefix"


class Prefix:
    """Finds the path prefix of a request, which links begin with.

    Parameters
    ----------
    root_path : str
        The setting ``ROOT_PATH``.
    trusting : bool
        Whether the header ``X-Forwarded-Prefix`` counts.
    """

    def __init__(self, root_path: str, *, trusting: bool) -> None:
        self._root_path = root_path
        self._trusting = trusting

    @classmethod
    def of_settings(cls, settings: GatewaySettings) -> Self:
        """Return the prefix that a gateway's settings name."""
        return cls(settings.root_path, trusting=settings.forwarded_prefix)

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return what links in the answer to a request begin with.

        Parameters
        ----------
        headers : iterable of (bytes, bytes)
            Of the request, names in lower case. One ``X-Forwarded-Prefix`` counts if it is a plain path;
            anything else, which could lead a client elsewhere, does not.
        """
        if self._trusting:
            given = [value for name, value in headers if name == _HEADER]
            if len(given) == 1:
                prefix = given[0].decode("latin-1").strip().removesuffix("/")
                if PATH_PREFIX.fullmatch(prefix):
                    return prefix
        return self._root_path


def without_prefix(path: str, prefix: str) -> str:
    """Return a path as our routes know it, whether or not a proxy took the prefix away.

    It is only taken away where something of ours is left: below the prefix ``/api``, what comes as
    ``/api/v1/movies/1`` has lost it already.
    """
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        rest = path.removeprefix(prefix) or "/"
        if urls.is_ours(rest):
            return rest
    return path
