"""The short way for plain questions that need a ranking, before the framework.

Routing, dependencies, validation and a dozen layers of middleware cost FastAPI several times what it takes to
read a ranking from Redis and to render it. So the two paths that make up nearly all the traffic are answered
here, if the request is of the plainest kind. The routes answer all others, and say the same
(``tests/gateway/test_front.py``).
"""

import time

from fastapi import FastAPI, Response
from starlette.types import Receive, Scope, Send

from gateway import access_log, paths
from gateway.answers import answer_ranking
from gateway.dispatch import StillWorkingError
from gateway.memory import Answer, accepts_gzip
from gateway.problems import problem_of
from gateway.ranking_cache import Question
from gateway.request_id import request_id
from gateway.routes.rankings import accepted
from gateway.state import State
from shared.contract import Kind

_ELSEWHERE = frozenset({b"origin", b"prefer", b"content-length", b"transfer-encoding"})
"""Requests with one of these headers need more than an answer."""


class Front:
    """An application in front of another one.

    Parameters
    ----------
    app : FastAPI
        Gets what is not answered here; its state is used.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        question = self._question(scope)
        if question is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        own_id = request_id(headers.get(b"x-request-id"))
        state: State = self._app.state.gateway
        response: Response | None = None
        try:
            answer, cached = await answer_ranking(state, question, wait=True)
        except StillWorkingError as pending:
            response = accepted(question, pending.job_id)
        except Exception as error:
            response = problem_of(error).response()
        if response is None:
            status = await _send_answer(send, answer, cached, headers, own_id)
            if cached:
                state.popularity.hits += 1
                return
        else:
            response.headers["X-Request-ID"] = own_id.decode()
            status = response.status_code
            await response(scope, receive, send)
        access_log.write(own_id.decode(), "GET", scope["path"], status, started)

    def _question(self, scope: Scope) -> Question | None:
        """Return what a request asks for, None if it is not of the plainest kind."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return None
        # Slashes at the end are taken off as for the memory, so that both go the same way.
        question = paths.question(scope["raw_path"].rstrip(b"/"))
        if question is None or any(name in _ELSEWHERE for name, _ in scope["headers"]):
            return None
        if question.kind is Kind.SIMILAR and question.entity_id not in self._app.state.gateway.catalogue:
            return None
        return question


async def _send_answer(
    send: Send, answer: Answer, cached: bool, headers: dict[bytes, bytes], own_id: bytes
) -> int:
    """Send what :func:`gateway.responses.send` would, and return the status."""
    body = answer.compressed if accepts_gzip(headers.get(b"accept-encoding", b"")) else None
    sent = [
        (b"cache-control", answer.cache_control.encode()),
        (b"vary", b"Accept-Encoding, Origin"),
        (b"x-cache", b"hit" if cached else b"miss"),
        (b"x-model-version", answer.version.encode()),
        (b"etag", answer.tag(compressed=body is not None)),
        (b"x-request-id", own_id),
    ]
    known = headers.get(b"if-none-match")
    if known is not None and answer.matches(known):
        await send({"type": "http.response.start", "status": 304, "headers": sent})
        await send({"type": "http.response.body"})
        return 304
    if body is not None:
        sent.append((b"content-encoding", b"gzip"))
    body = answer.body if body is None else body
    sent += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": sent})
    await send({"type": "http.response.body", "body": body})
    return 200
