"""Tokens that are bound to a certificate (RFC 8705 section 3): stolen, they are of no use without its key."""

from __future__ import annotations

import base64
import hashlib

__all__ = ["confirmation", "matches", "thumbprint"]

MEMBER = "x5t#S256"


def thumbprint(der: bytes) -> str:
    """Return the SHA-256 thumbprint of a DER certificate, as unpadded base64url (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


def confirmation(thumbprint: str) -> dict[str, str]:
    """Return the value of the `cnf` claim that binds a token to the certificate with this thumbprint."""
    return {MEMBER: thumbprint}


def matches(cnf: object, thumbprint: str) -> bool:
    """Tell whether `cnf`, the claim as it came (None when missing), binds to the certificate of this thumbprint.

    A token without the claim, or with one of another kind, is bound to no certificate and matches none.
    """
    return isinstance(cnf, dict) and cnf.get(MEMBER) == thumbprint
