"""What codes mean whose own words do not say it, or say it of one case only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["MEANINGS"]

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "bad-framing": "where the body ends is not clear, or it is malformed",
        "bad-request": "the request cannot be read",
        "internal-error": "a fault of ours; the log has it, by path and time",
        "invalid-body": "the body is not what is expected; `detail` names the member",
        "invalid-client": "a client cannot be registered like this",
        "invalid-subject-token": "the token that was to be exchanged is unknown, expired or revoked",
        "inventory-no-answer": "the inventory service did not answer in time",
        "order-no-answer": "the order service did not answer as expected",
        "outcome-unknown": "it goes on without you; ask again with the same `Idempotency-Key`, or read the order",
        "operation-abandoned": "it was given up before it was done, and never will be",
        "out-of-stock": "there are fewer pieces than requested; members `category`, `code`, `available`, `requested`",
        "shutting-down": "the service ends; another one, or the next start, will do it",
        "stock-limit": "there would be too many pieces; members `category`, `code`, `available`",
        "unknown-item": "there is no such item; members `category`, `code`",
        # Of 401 and 403 nothing but the challenge is sent: these are for the log.
        "actor-mismatch": "the token was exchanged by another service than the one that presents it",
        "at-hash-mismatch": "the ID token did not come with this access token",
        "caller-not-allowed": "the certificate names no service that may call here",
        "caller-scope": "the service may call here, but not for this",
        "insufficient-scope": "the token or session has not all scopes of the route",
        "missing-iat": "the ID token does not say when it was issued",
        "no-id-token": "the provider sent no ID token",
        "no-policy": "the route was added after the guard: a fault of ours",
        "no-session": "there is no cookie of a session",
        "no-token": "nothing was presented",
        "nonce-mismatch": "the ID token answers another login",
        "not-opaque": "the gateway takes opaque tokens only",
        "session-over": "the session has ended",
        "session-unreadable": "the session was encrypted with another `gateway-key`",
        "token-revoked": "the token was revoked",
        "unknown-token": "there is no such opaque token, or it has expired",
        "upstream-forbidden": "the service behind refused for want of a scope, which the challenge names",
        "upstream-unauthenticated": "the service behind did not take the token",
        "wrong-party": "the ID token was made for another client",
    }
)
