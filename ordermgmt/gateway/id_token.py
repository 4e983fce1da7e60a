"""What an ID token must say besides what every token must (OpenID Connect Core section 3.1.3.7)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.claims import read_audience, read_text
from ordermgmt.security.principal import Principal

__all__ = ["ID_TOKEN_TYPES", "SignedIn", "check_id_token"]

ID_TOKEN_TYPES = ("JWT",)
"""Its `typ`. An access token for us has another one, and does not pass for it."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whom an ID token proves, and of which session at the issuer."""

    issuer: str
    subject: str
    sid: str
    name: str
    preferred_username: str

    @classmethod
    def of(cls, principal: Principal, payload: Mapping[str, Any]) -> SignedIn:
        """Take it from a token that was verified."""
        username = read_text(payload, "preferred_username") or principal.sub
        return cls(principal.iss, principal.sub, principal.sid or "", principal.full_name or username, username)


def check_id_token(payload: Mapping[str, Any], *, client_id: str, nonce: str, access_token: str) -> None:
    """Check that it answers this login, was made for this client alone, and came with this access token.

    Raises Unauthenticated: `nonce-mismatch`, `wrong-party`, `at-hash-mismatch`, `missing-iat`, `invalid-<claim>`.
    """
    if not hmac.compare_digest((read_text(payload, "nonce") or "").encode(), nonce.encode()):
        raise Unauthenticated("nonce-mismatch")
    party = read_text(payload, "azp")
    if party != client_id and (party is not None or read_audience(payload) != {client_id}):
        raise Unauthenticated("wrong-party")
    if "iat" not in payload:
        raise Unauthenticated("missing-iat")
    half = hashlib.sha256(access_token.encode()).digest()[:16]  # of the hash of ES256 and RS256
    at_hash = read_text(payload, "at_hash")
    if at_hash is not None and at_hash != urlsafe_b64encode(half).rstrip(b"=").decode("ascii"):
        raise Unauthenticated("at-hash-mismatch")
