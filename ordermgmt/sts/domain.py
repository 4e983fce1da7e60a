"""What a token may say. Tokens are made from an `Authority` and from nothing else, and an authority can only shrink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ordermgmt.sts.contract import (
    AUDIENCES,
    INVALID_REQUEST,
    INVALID_SCOPE,
    INVALID_TARGET,
    OIDC_SCOPES,
    Audience,
    OAuthError,
    client_subject,
)
from ordermgmt.sts.registration import Client, UserDetails

__all__ = [
    "MAX_ACTORS",
    "Authority",
    "choose_target",
    "client_grant",
    "exchange",
    "for_client",
    "for_itself",
    "profile",
    "token_grant",
]

MAX_ACTORS = 4
"""Services that one request may pass through on behalf of a user; verifiers read no longer chain."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who may do what, where, until when, and through whom.

    One begins with a grant (`for_itself`) or with a token that was given before; from there on `narrowed` is
    the only way to another one. Each of its arguments can take away and none can add.
    """

    issuer: str
    subject: str
    scopes: frozenset[str]
    audience: str
    expires_at: int
    """Seconds since 1970."""
    client_id: str
    actors: tuple[str, ...] = ()
    """Subjects that act for the subject, the latest first (RFC 8693 section 4.1)."""
    bound_to: str = ""
    """Thumbprint of the certificate that a bearer has to prove (RFC 8705 section 3.1). Empty: of none."""
    user: UserDetails | None = None
    """None when the subject is a client."""
    sid: str = ""
    """The session that it came of. Empty: of none."""
    family: str = ""
    """The family of tokens that it belongs to. Empty: to none."""
    generation: int = 0
    """Of the client whose grant it began with, then."""
    revocable_by: tuple[str, ...] = ()
    """Ids of what it came of, besides its session: the end of any of these is its end."""

    def narrowed(
        self,
        *,
        now: float,
        lifetime: int,
        audience: Audience,
        scopes: frozenset[str] | None = None,
        actor: str | None = None,
        bound_to: str = "",
    ) -> Authority:
        """Return what is left of this authority at `audience`, for at most `lifetime` seconds from `now`.

        `scopes` None asks for all that is left; `actor` is the client that will act from here on. Raises OAuthError:
        invalid_scope if a scope is asked for that is not left, invalid_request if the authority has ended, has passed
        through too many actors, or is bound to another certificate.
        """
        if self.expires_at <= now:
            raise OAuthError(INVALID_REQUEST, "the token has expired")
        left = self.scopes & audience.scopes
        if scopes is not None and not scopes <= left:
            raise OAuthError(INVALID_SCOPE, "a scope that is asked for is not available here")
        if self.bound_to and bound_to != self.bound_to:
            raise OAuthError(INVALID_REQUEST, "the token is bound to a certificate that was not proven")
        actors = self.actors if actor is None else (client_subject(actor), *self.actors)
        if len(actors) > MAX_ACTORS:
            raise OAuthError(INVALID_REQUEST, "the token has passed through too many services")
        return replace(
            self,
            scopes=left if scopes is None else scopes,
            audience=audience.name,
            expires_at=min(int(now) + lifetime, self.expires_at),
            client_id=self.client_id if actor is None else actor,
            actors=actors,
            bound_to=bound_to,
        )

    def claims(self, *, token_id: str, issued_at: int) -> dict[str, Any]:
        """Return the claims of an access token that says exactly this (RFC 9068 section 2.2)."""
        claims = self.described() | {"iat": issued_at, "jti": token_id}
        if self.revocable_by:
            claims["revocable_by"] = list(self.revocable_by)
        if self.user is not None:
            claims.update(_details(self.subject, self.user, AUDIENCES[self.audience].user_details))
        return claims

    def described(self) -> dict[str, Any]:
        """Return what this says, in the claims that access tokens and introspection share (RFC 7662 section 2.2)."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client_id,
            "exp": self.expires_at,
        }
        if self.scopes:
            claims["scope"] = " ".join(sorted(self.scopes))
        if self.actors:
            claims["act"] = _nested(self.actors)
        if self.sid:
            claims["sid"] = self.sid
        if self.bound_to:
            claims["cnf"] = {"x5t#S256": self.bound_to}
        return claims


def client_grant(client_id: str, generation: int) -> str:
    """Return the id of what a client may do in a generation of its tokens."""
    return f"client:{client_id}#{generation}"


def token_grant(digest: str) -> str:
    """Return the id of an opaque token, given its digest: half of it, which tells nobody the other half."""
    return digest[:32]


def _nested(actors: Sequence[str]) -> dict[str, Any]:
    nested: dict[str, Any] = {"sub": actors[-1]}
    for actor in reversed(actors[:-1]):
        nested = {"sub": actor, "act": nested}
    return nested


def _details(subject: str, user: UserDetails, wanted: frozenset[str]) -> Mapping[str, Any]:
    details: dict[str, Any] = {"preferred_username": subject}
    if "name" in wanted and user.name:
        details["name"] = user.name
    if "roles" in wanted and user.roles:
        details["roles"] = list(user.roles)
    return details


def profile(authority: Authority) -> Mapping[str, Any]:
    """Return what a client gets to see of a user (OpenID Connect Core section 5.4): nothing without `profile`."""
    if authority.user is None or "profile" not in authority.scopes:
        return {}
    return _details(authority.subject, authority.user, frozenset({"name"}))


def for_itself(
    client: Client,
    target: Audience | None,
    *,
    issuer: str,
    now: float,
    lifetime: int,
    scopes: frozenset[str] | None = None,
    thumbprint: str = "",
) -> Authority:
    """Return what `client` gets for itself at `target` (RFC 6749 section 4.4).

    `thumbprint` is of the certificate that the client proved, if it did: the token is then bound to it. Raises
    OAuthError with invalid_target if the client may not have tokens for the target, and as `Authority.narrowed` does.
    """
    if target is None or target.name not in {*client.targets, client.default_audience}:
        raise OAuthError(INVALID_TARGET, "this client may not have tokens for that target")
    if target.exchanged:
        raise OAuthError(INVALID_TARGET, "that target takes only tokens that were exchanged")
    if target.bound and not thumbprint:
        raise OAuthError(INVALID_TARGET, "that target takes only tokens that are bound to a certificate")
    whole = Authority(
        issuer=issuer,
        subject=client_subject(client.id),
        scopes=client.scopes - OIDC_SCOPES,
        audience=target.name,
        expires_at=int(now) + lifetime,
        client_id=client.id,
        generation=client.generation,
        revocable_by=() if client.certificate_uri else (client_grant(client.id, client.generation),),
    )
    return whole.narrowed(now=now, lifetime=lifetime, audience=target, scopes=scopes, bound_to=thumbprint)


def exchange(
    subject: Authority,
    caller: Client,
    target: Audience,
    *,
    now: float,
    lifetime: int,
    scopes: frozenset[str] | None = None,
    thumbprint: str = "",
) -> Authority:
    """Return what `caller` gets for a token that it was sent, to pass it on to `target` (RFC 8693).

    `thumbprint` is of the certificate that the caller proved, if it did. Raises OAuthError: invalid_request if the
    token is not meant for the caller, invalid_target if the caller may not have tokens for the target, and
    as `Authority.narrowed` does.
    """
    if subject.audience != caller.id:
        raise OAuthError(INVALID_REQUEST, "the subject_token is not meant for this client")
    if target.name not in caller.exchange_targets:
        raise OAuthError(INVALID_TARGET, "this client may not exchange tokens for that target")
    if target.bound and not thumbprint:
        raise OAuthError(INVALID_TARGET, "that target takes only tokens that are bound to a certificate")
    bound_to = thumbprint if target.bound or subject.bound_to else ""
    return subject.narrowed(
        now=now, lifetime=lifetime, audience=target, scopes=scopes, actor=caller.id, bound_to=bound_to
    )


def for_client(
    family: Authority,
    *,
    now: float,
    lifetime: int,
    scopes: frozenset[str] | None = None,
    thumbprint: str = "",
) -> Authority:
    """Return what an access token of a family says, for the client that the user let have it.

    `thumbprint` is of the certificate that the token is to be bound to. Raises OAuthError with invalid_target if there
    has to be one, and as `Authority.narrowed` does.
    """
    target = AUDIENCES[family.audience]
    if target.bound and not thumbprint:
        raise OAuthError(INVALID_TARGET, "that target takes only tokens that are bound to a certificate")
    return family.narrowed(now=now, lifetime=lifetime, audience=target, scopes=scopes, bound_to=thumbprint)


def choose_target(audiences: Sequence[str], resources: Sequence[str], known: Mapping[str, str]) -> Audience | None:
    """Return the one audience that a request names, or None if it names none.

    `audiences` are logical names (RFC 8693 section 2.1), `resources` are URIs that are compared exactly with those of
    `known`, which maps them to names (RFC 8707 section 2). One target may be named in several ways. Raises OAuthError
    with invalid_target for more than one or an unknown one.
    """
    names = {*audiences, *(known.get(resource, "") for resource in resources)}
    if not names:
        return None
    if len(names) > 1:
        raise OAuthError(INVALID_TARGET, "a token is for one target only")
    audience = AUDIENCES.get(names.pop())
    if audience is None:
        raise OAuthError(INVALID_TARGET, "there is no such target")
    return audience
