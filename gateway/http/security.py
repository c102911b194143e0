"""Lets only the administrator write."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import SecretStr

from gateway.http.problems import Unauthorized, WritingDisabled

bearer = HTTPBearer(auto_error=False, description="The token in the setting ADMIN_TOKEN.")


class AdminRoute(APIRoute):
    """A route for the administrator.

    The token is looked at first: FastAPI would read the body before any dependency, and tell strangers what
    is wrong with theirs.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request, with the token checked first."""
        answer = super().get_route_handler()

        async def answer_admin(request: Request) -> Response:
            await require_admin(request)
            return await answer(request)

        return answer_admin


async def require_admin(request: Request) -> None:
    """Check that a request has the administrator's token.

    Raises
    ------
    WritingDisabled
        If the service has no token.
    Unauthorized
        If the request has none, or another one.
    """
    expected: SecretStr | None = request.app.state.settings.admin_token
    if expected is None:
        raise WritingDisabled("This service was started without ADMIN_TOKEN, so nobody may write.")
    credentials = await bearer(request)
    challenge = {"WWW-Authenticate": "Bearer"}
    if credentials is None:
        raise Unauthorized("Send the header 'Authorization: Bearer TOKEN'.", challenge)
    # Compared in constant time, so that the answer's delay tells nothing.
    if not hmac.compare_digest(credentials.credentials.encode(), expected.get_secret_value().encode()):
        raise Unauthorized("That token is not the right one.", challenge)
