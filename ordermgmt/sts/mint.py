"""Where tokens are made, each from an `Authority`, and read back."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from ordermgmt.errors import Unauthenticated
from ordermgmt.ids import Entropy, new_id
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import TrustedIssuer, check_signature, parse, verify
from ordermgmt.sts.contract import AUDIENCES, OPAQUE_PREFIX, REFRESH_PREFIX, TokenResponse
from ordermgmt.sts.domain import Authority, profile
from ordermgmt.sts.family import Family, Presented
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.signing_key import KeySet

__all__ = [
    "ID_TOKEN_LIFETIME",
    "JWT_TYP",
    "IdToken",
    "Issued",
    "Mint",
    "Outcome",
    "ReadBack",
    "Redeemed",
    "Refreshed",
    "token_digest",
]

JWT_TYP = "at+jwt"
"""RFC 9068 section 2.1. Nothing else that is signed here has it, so nothing else passes for an access token."""
ID_TOKEN_TYP = "JWT"  # noqa: S105 a name
ID_TOKEN_LIFETIME = 300
"""Seconds: an ID token says who has logged in, and is looked at once."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and what it says. `digest` is under which an opaque one is to be kept; empty for a JWT."""

    response: TokenResponse = field(repr=False)
    authority: Authority
    digest: str = ""

    def with_tokens(self, *, refresh_token: str = "", id_token: str = "") -> Issued:
        """Return the same with these tokens in its response."""
        response = msgspec.structs.replace(self.response, refresh_token=refresh_token, id_token=id_token)
        return replace(self, response=response)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The first tokens of a family, for a code that has to be used up with it."""

    issued: Issued
    code_digest: str
    family: Family


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The next tokens of a family as it was found, which has to be so still."""

    issued: Issued
    family: Family
    presented: Presented
    """CURRENT or REPEATED."""
    successor: str
    """Digest of the new refresh token."""
    ends_at: int
    """When the family ends now if it is not refreshed again."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """What an ID token proves to us again: which client has it, and of which session."""

    client_id: str
    sid: str


class ReadBack(NamedTuple):
    """What a JWT that comes back says, and when it was issued (seconds since 1970)."""

    authority: Authority
    issued_at: float


Outcome = Issued | Redeemed | Refreshed
"""What a token request comes to, to be saved before it is answered."""


def token_digest(token: str) -> str:
    """Return what an opaque token is kept as: it is random, so a plain SHA-256 (in hex) gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()


class Mint:
    """Makes tokens: signed with what `keys` says signs now, or out of `entropy`."""

    def __init__(self, keys: Callable[[], KeySet], entropy: Entropy) -> None:
        self._keys = keys
        self._entropy = entropy

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys as a JWK set (RFC 7517 section 5)."""
        return self._keys().jwks()

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
        token = self._keys().signing.sign(claims, JWT_TYP)
        return Issued(_response(token, authority, now, issued_token_type), authority)

    def refresh_token(self) -> str:
        """Make a refresh token."""
        return REFRESH_PREFIX + new_id(self._entropy, 32)

    def new_family(self) -> str:
        """Make an id for a family."""
        return new_id(self._entropy)

    def id_token(
        self, authority: Authority, access_token: str, now: float, *, auth_time: int, nonce: str | None
    ) -> str:
        """Make an ID token for the client of a family (OpenID Connect Core sections 2 and 3.1.3.6)."""
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims: dict[str, Any] = {
            "iss": authority.issuer,
            "sub": authority.subject,
            "aud": authority.client_id,
            "azp": authority.client_id,
            "iat": int(now),
            "exp": int(now) + ID_TOKEN_LIFETIME,
            "auth_time": auth_time,
            "at_hash": urlsafe_b64encode(half).rstrip(b"=").decode("ascii"),
            "sid": authority.sid,
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self._keys().signing.sign({**claims, **profile(authority)}, ID_TOKEN_TYP)

    def read_id_token(self, token: str, issuer: str) -> IdToken | None:
        """Return what an ID token made here says, expired or not, else None (RP-Initiated Logout section 2)."""
        keys = self._keys()
        try:
            unverified = parse(token)
            client_id, key = unverified.payload.get("aud"), keys.verification.get(unverified.header.kid)
            if not isinstance(client_id, str) or not client_id or key is None:
                return None
            trust = TrustedIssuer(issuer, client_id, keys.algorithms, token_types=(ID_TOKEN_TYP,))
            principal = check_signature(unverified, key, trust).principal
        except Unauthenticated:
            return None
        return IdToken(client_id, principal.sid or "")

    def issued_here(self, token: str, issuer: str, now: float) -> ReadBack | None:
        """Return what an access JWT made here says, whoever it is for and bound to; None if it is not good `now`."""
        try:
            payload = parse(token).payload
        except Unauthenticated:
            return None
        audience, bound_to = payload.get("aud"), payload.get("cnf")
        if not isinstance(audience, str) or audience not in AUDIENCES:
            return None
        thumbprint = str(bound_to.get("x5t#S256", "")) if isinstance(bound_to, dict) else ""
        return self.read(token, issuer, audience, now, thumbprint)

    def read(self, token: str, issuer: str, audience: str, now: float, thumbprint: str) -> ReadBack | None:
        """Return what a JWT made here for `audience` says, or None if it is not good there and `now`.

        `thumbprint` is of the certificate that whoever presents it has proven, or empty.
        """
        try:
            principal = self.verify(token, issuer, audience, now, thumbprint)
        except Unauthenticated:
            return None
        return ReadBack(_authority(principal, audience, thumbprint), principal.issued_at)

    def verify(self, token: str, issuer: str, audience: str, now: float, thumbprint: str = "") -> Principal:
        """Return whom a JWT made here for `audience` proves. Raises Unauthenticated."""
        keys = self._keys()
        trust = TrustedIssuer(issuer, audience, algorithms=keys.algorithms, token_types=(JWT_TYP,))
        return verify(token, keys.verification, trust, now, thumbprint or None)


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
        sid=principal.sid or "",
        revocable_by=principal.revocable_by,
    )
