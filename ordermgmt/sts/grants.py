"""The grants: what a client gets for itself, and for a token that it was sent."""

from __future__ import annotations

from ordermgmt.sts.codes import AuthorizationCodeGrant
from ordermgmt.sts.contract import (
    ACCESS_TOKEN_TYPE,
    AUDIENCES,
    CLIENT_CREDENTIALS,
    INVALID_REQUEST,
    INVALID_TARGET,
    JWT_TYPE,
    TOKEN_EXCHANGE,
    OAuthError,
)
from ordermgmt.sts.core import Core, Grant, Snapshot, scopes_of
from ordermgmt.sts.domain import choose_target, exchange, for_itself
from ordermgmt.sts.mint import Issued, Mint, Outcome
from ordermgmt.sts.refresh import RefreshTokenGrant
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["GRANT_TYPES", "decide"]


def decide(request: TokenRequest, snapshot: Snapshot, rules: Rules, mint: Mint, now: float) -> Outcome:
    """Answer a token request. Raises OAuthError."""
    if not request.get("grant_type"):
        raise OAuthError(INVALID_REQUEST, "grant_type is missing")
    return Core(snapshot, rules, mint, now, _GRANTS).answer(request)


class _ClientCredentials(Grant):
    """RFC 6749 section 4.4. With `resource` (RFC 8707) a JWT for that service, without it an opaque token."""

    GRANT_TYPE = CLIENT_CREDENTIALS

    def issue(self, client: Client, sent: TokenRequest) -> Issued:
        rules, now, thumbprint = self.server.rules, self.server.now, self.thumbprint(client)
        target = choose_target((), sent.resources, rules.resources) or AUDIENCES.get(client.default_audience)
        opaque = target is not None and target.name == client.default_audience
        if opaque and thumbprint:
            raise OAuthError(INVALID_TARGET, "an opaque token cannot be bound to a certificate")
        own_lifetime = rules.bound_token_lifetime if thumbprint else rules.exchanged_token_lifetime
        authority = for_itself(
            client,
            target,
            issuer=rules.issuer,
            now=now,
            lifetime=rules.access_token_lifetime if opaque else own_lifetime,
            scopes=scopes_of(sent),
            thumbprint=thumbprint,
        )
        return self.server.mint.opaque(authority, now) if opaque else self.server.mint.jwt(authority, now)


class _TokenExchange(Grant):
    """RFC 8693."""

    GRANT_TYPE = TOKEN_EXCHANGE

    def issue(self, client: Client, sent: TokenRequest) -> Issued:
        rules, now = self.server.rules, self.server.now
        wanted = sent.get("requested_token_type") or ACCESS_TOKEN_TYPE
        if not sent.get("subject_token") or sent.get("subject_token_type") != ACCESS_TOKEN_TYPE:
            raise OAuthError(INVALID_REQUEST, "subject_token and a subject_token_type of access_token are required")
        if sent.get("actor_token") or sent.get("actor_token_type"):
            raise OAuthError(INVALID_REQUEST, "actor_token is not offered: the client itself is the actor")
        if wanted not in {ACCESS_TOKEN_TYPE, JWT_TYPE}:
            raise OAuthError(INVALID_REQUEST, "that requested_token_type is not offered")
        target = choose_target(sent.audiences, sent.resources, rules.resources)
        if target is None:
            raise OAuthError(INVALID_TARGET, "one audience or resource is required")
        subject = self.server.snapshot.subject
        if subject is None:
            raise OAuthError(INVALID_REQUEST, "the subject_token is not valid")
        authority = exchange(
            subject,
            client,
            target,
            now=now,
            lifetime=rules.exchanged_token_lifetime,
            scopes=scopes_of(sent),
            thumbprint=self.thumbprint(client),
        )
        return self.server.mint.jwt(authority, now, issued_token_type=wanted)


_GRANTS: tuple[type[Grant], ...] = (AuthorizationCodeGrant, RefreshTokenGrant, _ClientCredentials, _TokenExchange)
GRANT_TYPES = tuple(grant.GRANT_TYPE for grant in _GRANTS)
