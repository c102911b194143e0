"""Answers 202: the work was accepted, and a job does it."""

from collections.abc import Mapping

import orjson
from fastapi import Response

from gateway.http import urls


def accepted(
    job_id: str, prefix: str, *, retry_after: int = 1, others: Mapping[str, str] | None = None
) -> Response:
    """Say which job does the work.

    Parameters
    ----------
    job_id : str
        The job.
    prefix : str
        What links begin with, see :mod:`gateway.http.path_prefix`.
    retry_after : int
        Seconds after which it is worth looking.
    others : mapping of str to str, optional
        More paths of the body, by member.
    """
    job = prefix + urls.job(job_id)
    body = {"job": job, **{name: prefix + path for name, path in (others or {}).items()}}
    headers = {"Location": job, "Retry-After": str(retry_after)}
    return Response(orjson.dumps(body), 202, headers, "application/json")
