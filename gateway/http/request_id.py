"""Ids of requests, which stand in their log lines and responses."""

import os
import re
from itertools import count

_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PREFIX = os.urandom(8).hex().encode()
_numbers = count()


def request_id(given: bytes | None) -> bytes:
    """Return the id that a client gave if it is well-formed, else a new one.

    A new one is that of no other request of any gateway: 16 random digits of this process and a number.
    """
    if given is not None and _ACCEPTABLE.fullmatch(given):
        return given
    return b"%b%016x" % (_PREFIX, next(_numbers))
