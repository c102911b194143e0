"""Who may write."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from gateway.problems import Unauthorized, WritingDisabled

_bearer = HTTPBearer(auto_error=False, description="The token in the setting ADMIN_TOKEN.")


async def require_admin(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let only those pass who bring the administrator's token.

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
    challenge = {"WWW-Authenticate": "Bearer"}
    if credentials is None:
        raise Unauthorized("Send the header 'Authorization: Bearer TOKEN'.", challenge)
    # Compared in constant time, so that the answer's delay tells nothing.
    if not hmac.compare_digest(credentials.credentials.encode(), expected.get_secret_value().encode()):
        raise Unauthorized("That token is not the right one.", challenge)
