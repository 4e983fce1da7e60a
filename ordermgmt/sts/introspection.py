"""What a token is, for those who may know (RFC 7662), and the end of one (RFC 7009)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ordermgmt.sts.contract import (
    INVALID_GRANT,
    INVALID_REQUEST,
    UNSUPPORTED_TOKEN_TYPE,
    OAuthError,
)
from ordermgmt.sts.core import AUTH_METHODS, NONE, Core
from ordermgmt.sts.domain import Authority
from ordermgmt.sts.family import Family
from ordermgmt.sts.registration import Client
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["FoundToken", "introspect", "revoke"]

INACTIVE: Mapping[str, Any] = {"active": False}
"""All that is said of a token that is not good, or not for this client to see (RFC 7662 section 2.2)."""


@dataclass(frozen=True, slots=True)
class FoundToken:
    """What was found for a token: an access token's authority or a refresh token's family. Neither: nothing good."""

    access: Authority | None = None
    opaque: bool = False
    """Whether the access token is one, and can be revoked."""
    family: Family | None = None
    current: bool = False
    """Whether the refresh token is the one of its family that is good."""


def introspect(core: Core, sent: TokenRequest, found: FoundToken) -> Mapping[str, Any]:
    """Answer an introspection request (RFC 7662 section 2.2).

    A client sees its own tokens, and access tokens that are meant for it. Raises OAuthError.
    """
    client = core.recognize(sent, AUTH_METHODS)
    _require_token(sent)
    if found.family is not None and found.current and found.family.authority.client_id == client.id:
        return _described(found.family.authority, core.now, "")
    access = found.access
    if access is not None and client.id in {access.client_id, access.audience}:
        return _described(access, core.now, "Bearer")
    return INACTIVE


def revoke(core: Core, sent: TokenRequest, found: FoundToken) -> Family | Authority | None:
    """Return what a revocation request ends (RFC 7009 section 2): a family, an access token, or nothing.

    Raises OAuthError: invalid_grant for a token of another client, unsupported_token_type for a JWT, which ends with
    what it came of (docs/revocation.md).
    """
    client = core.recognize(sent, (*AUTH_METHODS, NONE))
    _require_token(sent)
    if found.family is not None:
        _require_own(found.family.authority, client)
        return found.family
    if found.access is not None:
        _require_own(found.access, client)
        if not found.opaque:
            raise OAuthError(UNSUPPORTED_TOKEN_TYPE, "a JWT cannot be revoked: it is good for a short time only")
    return found.access


def _require_token(sent: TokenRequest) -> None:
    if not sent.get("token"):
        raise OAuthError(INVALID_REQUEST, "token is required")


def _require_own(authority: Authority, client: Client) -> None:
    if authority.client_id != client.id:
        raise OAuthError(INVALID_GRANT, "the token was issued to another client")


def _described(authority: Authority, now: float, token_type: str) -> Mapping[str, Any]:
    """Return what an authority says, in the members of RFC 7662 section 2.2."""
    if authority.expires_at <= now:
        return INACTIVE
    described = {"active": True} | authority.described()
    if token_type:
        described["token_type"] = token_type
    if authority.user is not None:
        described["username"] = authority.subject
    return described
