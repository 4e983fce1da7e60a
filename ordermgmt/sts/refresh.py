"""The refresh token grant (RFC 6749 section 6), with rotation (RFC 9700 section 4.14.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ordermgmt.sts.contract import INVALID_GRANT, INVALID_REQUEST, REFRESH_TOKEN, OAuthError
from ordermgmt.sts.core import AUTH_METHODS, NONE, Grant
from ordermgmt.sts.family import CompromisedError, Presented, judge
from ordermgmt.sts.mint import Refreshed, token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["RefreshTokenGrant"]


class RefreshTokenGrant(Grant):
    """Gives the next tokens of a family for its refresh token."""

    GRANT_TYPE = REFRESH_TOKEN
    TOKEN_ENDPOINT_AUTH_METHODS: Sequence[str] = (*AUTH_METHODS, NONE)

    def issue(self, client: Client, sent: TokenRequest) -> Refreshed:
        """Rotate the refresh token, or end its family if somebody has a copy. Raises OAuthError."""
        rules, now, family = self.server.rules, self.server.now, self.server.snapshot.family
        if not sent.get("refresh_token"):
            raise OAuthError(INVALID_REQUEST, "refresh_token is required")
        if family is None or family.authority.client_id != client.id:
            raise OAuthError(INVALID_GRANT, "the refresh_token is not one of this client")
        presented = judge(family, token_digest(sent.get("refresh_token")), now, rules.refresh_token_grace)
        if presented is Presented.DEAD:
            raise OAuthError(INVALID_GRANT, "the refresh_token has expired or was revoked")
        if presented is Presented.REUSED:
            raise CompromisedError(family.id, "the refresh_token was used before; all of its family are revoked")
        ends_at = min(family.expires_at, int(now) + rules.refresh_token_idle_lifetime)
        renewed = replace(family, authority=replace(family.authority, expires_at=ends_at))
        successor = self.server.mint.refresh_token()
        issued = self.give_access(client, renewed, sent)
        return Refreshed(
            issued.with_tokens(refresh_token=successor),
            family=family,
            presented=presented,
            successor=token_digest(successor),
            ends_at=ends_at,
        )
