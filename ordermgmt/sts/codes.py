"""The authorization code grant at the token endpoint (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from authlib.oauth2.rfc7636.challenge import CODE_VERIFIER_PATTERN, create_s256_code_challenge

from ordermgmt.sts.authorization import Code
from ordermgmt.sts.contract import (
    AUTHORIZATION_CODE,
    INVALID_GRANT,
    INVALID_REQUEST,
    REFRESH_TOKEN,
    OAuthError,
)
from ordermgmt.sts.core import AUTH_METHODS, NONE, Grant
from ordermgmt.sts.domain import Authority, client_grant
from ordermgmt.sts.family import CompromisedError, Family
from ordermgmt.sts.mint import Redeemed, token_digest
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["AuthorizationCodeGrant"]


class AuthorizationCodeGrant(Grant):
    """Gives the first tokens of a family for a code."""

    GRANT_TYPE = AUTHORIZATION_CODE
    TOKEN_ENDPOINT_AUTH_METHODS: Sequence[str] = (*AUTH_METHODS, NONE)

    def issue(self, client: Client, sent: TokenRequest) -> Redeemed:
        """Check the code against the request (RFC 6749 section 4.1.3) and begin a family. Raises OAuthError."""
        rules, mint, now = self.server.rules, self.server.mint, self.server.now
        code = _check(self.server.snapshot.code, client, sent, now)
        refresh_token, family = mint.refresh_token(), _family(code, client, rules, mint.new_family(), now)
        if REFRESH_TOKEN not in client.grants:
            refresh_token = ""
        issued = self.give_access(client, family, sent)
        id_token = ""
        if "openid" in code.scopes:
            id_token = mint.id_token(
                family.authority, issued.response.access_token, now, auth_time=code.auth_time, nonce=code.nonce
            )
        return Redeemed(
            issued.with_tokens(refresh_token=refresh_token, id_token=id_token),
            code_digest=token_digest(sent.get("code")),
            family=family.with_current(token_digest(refresh_token) if refresh_token else ""),
        )


def _check(code: Code | None, client: Client, sent: TokenRequest, now: float) -> Code:
    if not sent.get("code") or not sent.get("redirect_uri") or not sent.get("code_verifier"):
        raise OAuthError(INVALID_REQUEST, "code, redirect_uri and code_verifier are required")
    if code is None or code.client_id != client.id:
        raise OAuthError(INVALID_GRANT, "the code is not one of this client")
    if code.family_id:
        raise CompromisedError(code.family_id, "the code was used before; what it gave is revoked")
    if code.expires_at <= now or code.session_over:
        raise OAuthError(INVALID_GRANT, "the code has expired, or its user has logged out")
    if code.redirect_uri != sent.get("redirect_uri"):
        raise OAuthError(INVALID_GRANT, "redirect_uri is not the one that the code was sent to")
    verifier = sent.get("code_verifier")
    if not CODE_VERIFIER_PATTERN.fullmatch(verifier):
        raise OAuthError(INVALID_REQUEST, "the code_verifier is malformed")
    if not hmac.compare_digest(create_s256_code_challenge(verifier), code.code_challenge):
        raise OAuthError(INVALID_GRANT, "the code_verifier does not fit")
    return code


def _family(code: Code, client: Client, rules: Rules, family_id: str, now: float) -> Family:
    """Return the family that the code begins: without refresh tokens it ends with its one access token."""
    refreshed = REFRESH_TOKEN in client.grants
    expires_at = int(now) + (rules.refresh_token_lifetime if refreshed else rules.access_token_lifetime)
    idle = int(now) + (rules.refresh_token_idle_lifetime if refreshed else rules.access_token_lifetime)
    authority = Authority(
        issuer=rules.issuer,
        subject=code.user,
        scopes=code.scopes,
        audience=code.audience,
        expires_at=min(expires_at, idle),
        client_id=client.id,
        user=code.details,
        sid=code.sid,
        family=family_id,
        generation=client.generation,
        revocable_by=(client_grant(client.id, client.generation), family_id),
    )
    return Family(family_id, authority, expires_at)
