"""How other services get tokens and keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from ordermgmt import errors
from ordermgmt.net.outbound import HttpClient, Interrupted, Response, Unreachable
from ordermgmt.sts.contract import (
    ACCESS_TOKEN_TYPE,
    CLIENT_CREDENTIALS,
    INVALID_REQUEST,
    TOKEN_EXCHANGE,
    TOKEN_PATH,
    ErrorResponse,
    TokenResponse,
)
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.secrets import Unshown

__all__ = ["IssuedToken", "StsClient"]

log = get_logger("sts-client")


@dataclass(frozen=True, slots=True, repr=False)
class IssuedToken(Unshown):
    """A token as it was given. `expires_in` is in seconds from before the request was sent."""

    token: str
    expires_in: int
    scopes: frozenset[str]


class StsClient:
    """The token service, for a service that authenticates with its certificate (RFC 8705 section 2).

    `http` is a client of the mTLS listener and stays the caller's to close. Time limits are the caller's too.
    """

    def __init__(self, http: HttpClient, client_id: str) -> None:
        self._http = http
        self._client_id = client_id

    async def exchange(self, subject_token: str, audience: str) -> IssuedToken:
        """Exchange a caller's token for a JWT for `audience` (RFC 8693).

        Raises Unauthenticated("invalid-subject-token") if the token is no good, as that is all that is variable in
        the request, and Unavailable if the token service cannot be reached or refuses this service.
        """
        return await self._issue(
            [
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token", subject_token),
                ("subject_token_type", ACCESS_TOKEN_TYPE),
                ("audience", audience),
            ]
        )

    async def client_credentials(self, resource: str, scopes: Iterable[str] = ()) -> IssuedToken:
        """Get a JWT for this service itself, bound to its certificate (RFC 8705 section 3).

        `resource` is as `contract.service_resource` makes it; without `scopes` the token has all that are left to
        this service there. Raises Unavailable.
        """
        return await self._issue(
            [
                ("grant_type", CLIENT_CREDENTIALS),
                ("resource", resource),
                ("scope", " ".join(sorted(scopes))),
            ]
        )

    async def _issue(self, parameters: list[tuple[str, str]]) -> IssuedToken:
        body = urlencode([*parameters, ("client_id", self._client_id)]).encode()
        answer = await self._send("POST", TOKEN_PATH, body)
        if answer.status != 200:
            raise _refusal(answer)
        try:
            issued = msgspec.json.decode(answer.content, type=TokenResponse)
        except msgspec.DecodeError as error:
            raise errors.Unavailable("sts-rubbish", "the token service did not answer with a token") from error
        if issued.token_type.lower() != "bearer":  # RFC 6749 section 7.1: no other type is understood here
            raise errors.Unavailable("sts-rubbish", "the token service answered with a token of another type")
        return IssuedToken(issued.access_token, issued.expires_in, frozenset(issued.scope.split()))

    async def _send(self, method: str, path: str, body: bytes = b"") -> Response:
        headers = [("accept", "application/json")]
        if body:
            headers.append(("content-type", "application/x-www-form-urlencoded"))
        try:
            return await self._http.request(method, path, headers=headers, content=body, repeatable=True)
        except (Unreachable, Interrupted) as error:
            log.warning("sts-unreachable", path=path, reason=str(error))
            raise errors.Unavailable("sts-unreachable", "the token service cannot be reached") from error


def _refusal(answer: Response) -> errors.Error:
    try:
        refused = msgspec.json.decode(answer.content, type=ErrorResponse)
    except msgspec.DecodeError:
        return errors.Unavailable("sts-unavailable", f"the token service answered {answer.status}")
    if refused.error == INVALID_REQUEST:
        return errors.Unauthenticated("invalid-subject-token", refused.error_description)
    log.error("sts-refused", error=refused.error, description=refused.error_description)
    return errors.Unavailable("sts-refused", "the token service does not serve this service")
