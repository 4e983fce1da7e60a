"""Verifying JWTs (RFC 7519, RFC 8725, RFC 9068), as functions of values and an explicit time.

A token goes through three steps. `parse` reads it strictly and trusts nothing. `check_signature` proves that its
issuer made it: expensive, and true for as long as the key is. `check_use` decides whether it may be used here,
now, by this peer: cheap, and done on every use. Each failure is one Unauthenticated with a stable code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.security import binding, claims
from ordermgmt.security.jose_json import Refused, decode_base64url, decode_object
from ordermgmt.security.keys import ALGORITHMS, VerificationKey
from ordermgmt.security.principal import Principal
from ordermgmt.telemetry.secrets import Unshown

__all__ = [
    "MAX_TOKEN",
    "SKEW",
    "SignedClaims",
    "TrustedIssuer",
    "Unverified",
    "check_header",
    "check_signature",
    "check_use",
    "parse",
    "verify",
]

MAX_TOKEN = 8 * 1024
"""Characters of a token: what fits in one line of a request's head with room to spare."""
MAX_HEADER = 2 * 1024
SKEW = 30.0
"""Seconds by which an issuer's clock may be ahead of ours: for `nbf` and `iat`, never to stretch `exp`."""
MAX_KID = 256

_KEY_IN_HEADER = frozenset({"jwk", "jku", "x5u", "x5c"})


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer and what its tokens must look like to be accepted here."""

    issuer: str
    """The exact value of `iss`."""
    audience: str
    """The name of this service, which must be among the values of `aud`."""
    algorithms: Collection[str]
    token_types: Collection[str] = ("at+jwt",)
    """Accepted values of `typ`, compared as media types: no case, `application/` left out (RFC 7515 section 4.1.9)."""
    scopes: Mapping[str, str] | None = None
    """Which scope of the issuer gives which scope here; any other gives nothing. None: they are the same."""

    def __post_init__(self) -> None:
        for algorithm in self.algorithms:
            if algorithm not in ALGORITHMS:
                msg = f"issuer {self.issuer}: algorithm {algorithm!r} is not one of {', '.join(ALGORITHMS)}"
                raise StartError(msg)
        if not (self.issuer and self.audience and self.algorithms and self.token_types):
            msg = f"issuer {self.issuer!r} needs a name, an audience, algorithms and token types"
            raise StartError(msg)
        object.__setattr__(self, "token_types", frozenset(_media_type(name) for name in self.token_types))


class Header(msgspec.Struct, frozen=True):
    """What the header of a token says that counts here."""

    algorithm: str
    media_type: str
    """`typ`, as TrustedIssuer compares it."""
    kid: str


class Unverified(Unshown, msgspec.Struct, frozen=True):
    """A well-formed token of which nothing is proven."""

    header: Header
    issuer: str
    payload: Mapping[str, Any]
    signed: bytes
    signature: bytes


class SignedClaims(msgspec.Struct, frozen=True):
    """What the issuer vouches for, whenever and wherever it is looked at."""

    principal: Principal
    audience: frozenset[str]
    not_before: float
    issued_at: float
    confirmation: Mapping[str, Any] | None
    """The `cnf` claim (RFC 7800), or None if the token has none."""
    ids: frozenset[str]
    """Its `jti` and what it came of: whatever of these the issuer ends, it ends this token."""


def parse(token: str) -> Unverified:
    """Read a JWS in compact serialization (RFC 7515 section 7.1); a JWE or the JSON serialization is refused.

    Raises Unauthenticated: `token-too-large`, `malformed-token`, `malformed-encoding`, `header-*` and `payload-*`
    with the reasons of `decode_object`, `crit-refused`, `unencoded-payload`, `key-in-header`, `algorithm-refused`,
    `wrong-type`, `missing-kid`, `invalid-kid`, `missing-iss` or `invalid-iss`.
    """
    if len(token) > MAX_TOKEN:
        raise Unauthenticated("token-too-large")
    parts = token.split(".", 3)
    if len(parts) != 3:  # header, payload, signature
        raise Unauthenticated("malformed-token")
    header = _read_header(parts[0])
    payload = _decode("payload", parts[1], MAX_TOKEN)
    signature = _decode_part(parts[2])
    signed = token[: -len(parts[2]) - 1].encode("ascii")
    issuer = claims.read_text(payload, "iss")
    if issuer is None:
        raise Unauthenticated("missing-iss")
    return Unverified(header, issuer, payload, signed, signature)


def check_header(token: Unverified, trust: TrustedIssuer) -> None:
    """Check what the token says of itself against what this issuer's tokens are.

    Raises Unauthenticated: `unknown-issuer`, `algorithm-refused`, `wrong-type`.
    """
    if token.issuer != trust.issuer:
        raise Unauthenticated("unknown-issuer")
    if token.header.algorithm not in trust.algorithms:
        raise Unauthenticated("algorithm-refused")
    if token.header.media_type not in trust.token_types:
        raise Unauthenticated("wrong-type")


def check_signature(token: Unverified, key: VerificationKey, trust: TrustedIssuer) -> SignedClaims:
    """Check that this issuer signed the token with `key`, and read its claims.

    Raises Unauthenticated as `check_header` does, or `algorithm-mismatch`, `bad-signature`, `missing-<claim>`,
    `invalid-<claim>`.
    """
    check_header(token, trust)
    if token.header.algorithm != key.algorithm:
        raise Unauthenticated("algorithm-mismatch")
    if not key.verify(token.signed, token.signature):
        raise Unauthenticated("bad-signature")
    return _read_claims(token.payload, trust)


def check_use(signed: SignedClaims, trust: TrustedIssuer, now: float, thumbprint: str | None) -> Principal:
    """Check that the token may be used here, now, over a connection with this client certificate (None: without).

    `now` is in seconds since 1970. Raises Unauthenticated: `wrong-audience`, `expired`, `not-yet-valid`,
    `issued-in-future`, `binding-unknown`, `binding-without-certificate`, `binding-mismatch`.
    """
    if trust.audience not in signed.audience:
        raise Unauthenticated("wrong-audience")
    if now >= signed.principal.expires_at:
        raise Unauthenticated("expired")
    if now + SKEW < signed.not_before:
        raise Unauthenticated("not-yet-valid")
    if now + SKEW < signed.issued_at:
        raise Unauthenticated("issued-in-future")
    if signed.confirmation is not None:
        _check_binding(signed.confirmation, thumbprint)
    return signed.principal


def verify(
    token: str, keys: Mapping[str, VerificationKey], trust: TrustedIssuer, now: float, thumbprint: str | None = None
) -> Principal:
    """Do all three steps with the keys of this issuer, by `kid`.

    Raises Unauthenticated as they do, or `unknown-key`.
    """
    unverified = parse(token)
    key = keys.get(unverified.header.kid)
    if key is None:
        raise Unauthenticated("unknown-key")
    return check_use(check_signature(unverified, key, trust), trust, now, thumbprint)


def _check_binding(confirmation: Mapping[str, Any], thumbprint: str | None) -> None:
    """A token that is bound to something which cannot be checked here is not a bearer token either."""
    if binding.MEMBER not in confirmation:
        raise Unauthenticated("binding-unknown")
    if not thumbprint:
        raise Unauthenticated("binding-without-certificate")
    if not binding.matches(confirmation, thumbprint):
        raise Unauthenticated("binding-mismatch")


def _media_type(name: str) -> str:
    """Lower only what is ASCII: the Kelvin sign must not become a k."""
    return name.lower().removeprefix("application/") if name.isascii() else name


@lru_cache(maxsize=64)
def _read_header(part: str) -> Header:
    """Read and check the first part of a token. All tokens of a key have the same one, so it is remembered."""
    header = _decode("header", part, MAX_HEADER)
    _check_members(header)
    return Header(header["alg"], _media_type(header["typ"]), header["kid"])


def _decode(name: str, part: str, max_size: int) -> dict[str, Any]:
    data = _decode_part(part)
    try:
        return decode_object(data, max_size)
    except Refused as error:
        code = f"{name}-{error.reason}"
        raise Unauthenticated(code) from error


def _decode_part(part: str) -> bytes:
    try:
        return decode_base64url(part)
    except Refused as error:
        raise Unauthenticated("malformed-encoding") from error


def _check_members(header: Mapping[str, Any]) -> None:
    if "crit" in header:  # no extension is understood here (RFC 7515 section 4.1.11)
        raise Unauthenticated("crit-refused")
    if header.get("b64", True) is not True:  # RFC 7797
        raise Unauthenticated("unencoded-payload")
    if not _KEY_IN_HEADER.isdisjoint(header):  # keys come from the issuer (RFC 8725 section 3.10)
        raise Unauthenticated("key-in-header")
    if not isinstance(header.get("alg"), str):
        raise Unauthenticated("algorithm-refused")
    if not isinstance(header.get("typ"), str):
        raise Unauthenticated("wrong-type")
    if "kid" not in header:
        raise Unauthenticated("missing-kid")
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise Unauthenticated("invalid-kid")


def _read_claims(payload: Mapping[str, Any], trust: TrustedIssuer) -> SignedClaims:
    scopes = claims.read_scopes(payload)
    if trust.scopes is not None:
        scopes = frozenset(trust.scopes[scope] for scope in scopes if scope in trust.scopes)
    sub = claims.read_text(payload, "sub")
    if sub is None:
        raise Unauthenticated("missing-sub")
    expires_at = claims.read_time(payload, "exp")
    if expires_at is None:
        raise Unauthenticated("missing-exp")
    confirmation = claims.read_object(payload, "cnf")
    principal = Principal(
        iss=trust.issuer,
        sub=sub,
        scopes=scopes,
        client_id=claims.read_text(payload, "client_id"),
        actors=claims.read_actors(payload),
        name=claims.read_text(payload, "preferred_username") or sub,
        full_name=claims.read_text(payload, "name"),
        roles=claims.read_texts(payload, "roles"),
        jti=claims.read_text(payload, "jti"),
        sid=claims.read_text(payload, "sid"),
        revocable_by=claims.read_texts(payload, "revocable_by"),
        expires_at=expires_at,
        issued_at=claims.read_time(payload, "iat") or 0.0,
        bound=confirmation is not None,
    )
    return SignedClaims(
        principal=principal,
        audience=claims.read_audience(payload),
        not_before=claims.read_time(payload, "nbf") or 0.0,
        issued_at=principal.issued_at,
        confirmation=confirmation,
        ids=claims.join_ids(principal.jti, principal.sid, principal.revocable_by),
    )
