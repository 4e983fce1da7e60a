"""Bearer tokens in requests, and the challenges that ask for them (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ordermgmt.errors import Forbidden, Unauthenticated

__all__ = ["bearer_token", "challenge"]

MAX_CREDENTIALS = 8 * 1024 + 16
"""Characters of an Authorization header: a token of 8 KiB and its scheme."""

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)", re.ASCII)
_NOTHING_PRESENTED = frozenset({"no-token", "other-scheme"})


def bearer_token(authorization: Sequence[str]) -> str | None:
    """Return the token of a request's Authorization headers; None if there is none.

    This is the only way to send a token: one in the query or the body is not looked at (RFC 6750 section 2).
    Raises Unauthenticated: `several-credentials`, `token-too-large`, `other-scheme`, `malformed-credentials`.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise Unauthenticated("several-credentials")
    credentials = authorization[0]
    if len(credentials) > MAX_CREDENTIALS:
        raise Unauthenticated("token-too-large")
    match = _BEARER.fullmatch(credentials)
    if match is not None:
        return match[1]
    scheme = credentials.partition(" ")[0]
    raise Unauthenticated("malformed-credentials" if scheme.lower() == "bearer" else "other-scheme")


def challenge(error: Unauthenticated | Forbidden, realm: str) -> str:
    """Return the value of WWW-Authenticate (RFC 6750 section 3).

    Who presented nothing is only told what to present; for everything that is wrong with a token there is the
    one answer `invalid_token`.
    """
    parts = [f'realm="{realm}"']
    if isinstance(error, Forbidden):
        parts.append('error="insufficient_scope"')
        if error.scope:
            parts.append(f'scope="{error.scope}"')
    elif error.code not in _NOTHING_PRESENTED:
        parts.append('error="invalid_token"')
    return f"Bearer {', '.join(parts)}"
