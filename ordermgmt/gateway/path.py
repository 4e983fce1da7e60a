"""The way of one request through the system, as its user may see it; never a token's value, digest or signature.

Who called whom, what each token said, how long each part took: values, and how they are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from ordermgmt.errors import Unauthenticated
from ordermgmt.gateway.sessions import Session
from ordermgmt.net.steps import Step
from ordermgmt.security import tokens
from ordermgmt.security.tokens import Unverified

__all__ = ["Asked", "Check", "Hop", "Identities", "Path", "Token", "bearer", "opaque", "order_steps", "session_token"]


class Check(msgspec.Struct, frozen=True):
    """Something that was looked at, and what came out."""

    name: str
    said: str


class Token(msgspec.Struct, frozen=True):
    """What proved who asks, on one hop. `expires_in` is in seconds."""

    kind: Literal["session", "opaque", "jwt"]
    issuer: str
    audience: list[str]
    expires_in: int
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    checks: list[Check] = []


class Identities(msgspec.Struct, frozen=True):
    """Who both ends of a connection are by their certificates (URIs); null without one."""

    client: str | None
    server: str | None


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the way. `from` and `to` are the same for work inside a service. `cached`: nothing was sent."""

    origin: str = msgspec.field(name="from")
    to: str
    what: str
    seconds: float | None
    cached: bool | None = None
    identities: Identities = Identities(None, None)
    token: Token | None = None


class Asked(msgspec.Struct, frozen=True):
    """The request itself. `at` is in seconds since 1970."""

    id: str
    method: str
    path: str
    status: int
    at: float
    seconds: float


class Path(msgspec.Struct, frozen=True):
    """Answer of GET /api/path/{id}. The hops are in the order in which they began."""

    request: Asked
    hops: list[Hop]


def session_token(session: Session, method: str, now: float) -> Token:
    """Describe the session whose cookie came with a request."""
    checks = [
        Check("cookie", "one, with the prefix __Host-, of a session that is known"),
        Check("idle limit", f"would end in {_span(session.idle_until - now)}"),
        Check("absolute limit", f"ends in {_span(session.ends_at - now)}"),
    ]
    if method not in {"GET", "HEAD"}:
        checks.append(Check("x-csrf", "sent, and by a page of this origin"))
    claims = {
        "sub": session.subject,
        "name": session.name,
        "preferred_username": session.preferred_username,
        "scope": " ".join(sorted(session.scopes)),
    }
    return Token("session", session.issuer, ["gateway"], _seconds(session.ends_at - now), {}, claims, checks)


def opaque(session: Session, now: float, *, taken: bool = True) -> Token:
    """Describe the access token of a session, of which nobody but its issuer can read anything."""
    said = "known to its issuer, good, and meant for the gateway" if taken else "not known: nothing came of it"
    checks = [Check("subject token", said)]
    return Token("opaque", session.issuer, ["gateway"], _seconds(session.refresh_at - now), {}, {}, checks)


def bearer(token: str, audience: str, now: float, status: int) -> Token | None:
    """Describe a JWT that went to `audience`, which answered with `status`; None if it is none.

    What can be looked at without a key is looked at here once more; the rest is what the answer says.
    """
    try:
        unverified = tokens.parse(token)
    except Unauthenticated:
        return None
    header = {
        "alg": unverified.header.algorithm,
        "typ": unverified.header.media_type,
        "kid": unverified.header.kid,
    }
    meant_for = unverified.payload.get("aud")
    audiences = [str(name) for name in meant_for] if isinstance(meant_for, list) else [str(meant_for)]
    left = _seconds(_number(unverified.payload.get("exp")) - now)
    checks = list(_checks(unverified, audiences, audience, left, status))
    return Token("jwt", unverified.issuer, audiences, left, header, dict(unverified.payload), checks)


def _checks(token: Unverified, audiences: list[str], audience: str, left: int, status: int) -> Iterable[Check]:
    yield Check("form", "a JWS in compact serialization, with no member twice and no extension")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        yield Check("token", f"not known: {audience} did not answer this")
        return
    if status == HTTPStatus.UNAUTHORIZED:
        yield Check("token", f"refused by {audience}, whose log says why")
        return
    yield Check("algorithm", f"{token.header.algorithm}, which {audience} takes from this issuer")
    yield Check("type", token.header.media_type)
    yield Check("issuer", f"{token.issuer}, which {audience} trusts")
    yield Check("signature", f"proven with key {token.header.kid} of this issuer")
    yield Check("audience", f"holds {audience}" if audience in audiences else f"does not hold {audience}")
    yield Check("time", f"expires in {_span(left)}")
    if "cnf" in token.payload:
        yield Check("binding", "to the certificate of the caller, whose name is that of the token's client")
    if status == HTTPStatus.FORBIDDEN:
        yield Check("scope", "not enough for this")
    else:
        yield Check("scope", "enough for this")


def order_steps(steps: Iterable[Step], order: str, inventory: str) -> list[Hop]:
    """Describe what the order service says it did. `order` and `inventory` are URIs, their identities."""
    said = {
        "intent": ("order", "Writes down what is to be done, before anybody else is asked: one commit on disk."),
        "inventory": ("inventory", "Asks for the goods, all or none, in one request with whatever else waits."),
        "outcome": ("order", "Applies the answer to the order, by compare-and-set: one commit on disk."),
    }
    return [
        Hop(
            origin="order",
            to=said[name][0],
            what=said[name][1],
            seconds=seconds,
            identities=Identities(order, inventory) if name == "inventory" else Identities(None, None),
        )
        for name, seconds in steps
        if name in said
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _seconds(value: float) -> int:
    return max(0, round(value))


def _span(seconds: float) -> str:
    """Tell a time as people do."""
    minutes = int(seconds // 60)
    if minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes} min" if minutes >= 2 else f"{_seconds(seconds)} s"
