"""Where tokens are made, each from an `Authority`, and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ordermgmt.errors import Unauthenticated
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.keys import SigningKey
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import TrustedIssuer, verify
from ordermgmt.sts.contract import OPAQUE_PREFIX, TokenResponse
from ordermgmt.sts.domain import Authority
from ordermgmt.sts.registration import UserDetails

__all__ = ["JWT_TYP", "Issued", "Mint", "token_digest"]

JWT_TYP = "at+jwt"
"""RFC 9068 section 2.1. Nothing else that is signed here has it, so nothing else passes for an access token."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and what it says. `digest` is under which an opaque one is to be kept; empty for a JWT."""

    response: TokenResponse = field(repr=False)
    authority: Authority
    digest: str = ""


def token_digest(token: str) -> str:
    """Return what an opaque token is kept as: it is random, so a plain SHA-256 (in hex) gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()


class Mint:
    """Makes tokens: signed with `key`, or out of `entropy`."""

    def __init__(self, key: SigningKey, entropy: Entropy) -> None:
        self._key = key
        self._verification = {key.kid: key.verification_key()}
        self._entropy = entropy

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys as a JWK set (RFC 7517 section 5)."""
        return {"keys": [self._key.public_jwk()]}

    def opaque(self, authority: Authority, now: float) -> Issued:
        """Make an opaque token. A binding or actors would not be kept, so an authority with either is refused."""
        if authority.bound_to or authority.actors:
            msg = "an opaque token is neither bound nor passed on"
            raise ValueError(msg)
        token = OPAQUE_PREFIX + new_id(self._entropy, 32)
        return Issued(_response(token, authority, now), authority, token_digest(token))

    def jwt(self, authority: Authority, now: float, issued_token_type: str = "") -> Issued:
        """Make a JWT (RFC 9068)."""
        claims = authority.claims(token_id=new_id(self._entropy), issued_at=int(now))
        return Issued(_response(self._key.sign(claims, JWT_TYP), authority, now, issued_token_type), authority)

    def read(self, token: str, issuer: str, audience: str, now: float, thumbprint: str) -> Authority | None:
        """Return what a JWT made here for `audience` says, or None if it is not good there and `now`.

        `thumbprint` is of the certificate that whoever presents it has proven, or empty.
        """
        trust = TrustedIssuer(issuer, audience, algorithms=(self._key.algorithm,), token_types=(JWT_TYP,))
        try:
            principal = verify(token, self._verification, trust, now, thumbprint or None)
        except Unauthenticated:
            return None
        return _authority(principal, audience, thumbprint)


def _response(token: str, authority: Authority, now: float, issued_token_type: str = "") -> TokenResponse:
    return TokenResponse(
        access_token=token,
        expires_in=authority.expires_at - int(now),
        scope=" ".join(sorted(authority.scopes)),
        issued_token_type=issued_token_type,
    )


def _authority(principal: Principal, audience: str, thumbprint: str) -> Authority:
    is_client = principal.sub.startswith("client:")
    return Authority(
        issuer=principal.iss,
        subject=principal.sub,
        scopes=principal.scopes,
        audience=audience,
        expires_at=int(principal.expires_at),
        client_id=principal.client_id or "",
        actors=principal.actors,
        bound_to=thumbprint if principal.bound else "",
        user=None if is_client else UserDetails(principal.full_name or "", principal.roles),
    )
