"""Tokens, and what it takes to make of a good one another that differs in one way.

Nothing of the package under test is used here: what forges and what refuses must not share a mistake.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from joserfc import jwk
from joserfc.jws import JWSRegistry

__all__ = [
    "DROP",
    "Forge",
    "Row",
    "Sent",
    "Token",
    "b64",
    "claims",
    "claims_text",
    "header",
    "header_text",
    "payload",
    "signature",
    "signed_by",
    "text",
    "unb64",
]

DROP: Final = object()
"""As the value of a member: leave it out."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


@dataclass(frozen=True)
class Token:
    """What a token is made of."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: jwk.Key = field(repr=False)
    algorithm: str
    """What signs, whatever `header` says of it."""

    def text(self) -> str:
        return self.over(_json(self.header), _json(self.claims))

    def over(self, head: bytes, body: bytes) -> str:
        signed = f"{b64(head)}.{b64(body)}"
        return f"{signed}.{b64(JWSRegistry.algorithms[self.algorithm].sign(signed.encode(), self.key))}"


@dataclass(frozen=True)
class Sent:
    """A request to create an order: what goes on the wire besides its usual fields and body."""

    fields: tuple[bytes, ...]
    """Header lines without their ends."""
    query: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    """Put into the body."""


Forge = Callable[[Token], "str | Sent"]
"""From a token that was just accepted to another, or to another way of sending it."""


@dataclass(frozen=True)
class Row:
    """One rule: `forge` changes a good token of `base` in one way, and then it is refused."""

    name: str
    forge: Forge
    code: str
    """What the log says; "" if the request does not get as far as the guard."""
    base: str = "sts"
    status: int = 401


def header(**changes: Any) -> Forge:
    return lambda token: replace(token, header=_changed(token.header, changes)).text()


def claims(**changes: Any) -> Forge:
    return lambda token: replace(token, claims=_changed(token.claims, changes)).text()


def header_text(change: Callable[[bytes], bytes]) -> Forge:
    """Sign another text of the header; `change` gets the plain one."""
    return lambda token: token.over(change(_json(token.header)), _json(token.claims))


def claims_text(change: Callable[[bytes], bytes]) -> Forge:
    """Sign another text of the claims; `change` gets the plain one."""
    return lambda token: token.over(_json(token.header), change(_json(token.claims)))


def payload(body: Any) -> Forge:
    """Sign something else than claims."""
    return claims_text(lambda _: body if isinstance(body, bytes) else _json(body))


def signature(change: Callable[[bytes], bytes]) -> Forge:
    def forge(token: Token) -> str:
        signed, _, made = token.text().rpartition(".")
        return f"{signed}.{b64(change(unb64(made)))}"

    return forge


def signed_by(key: jwk.Key, algorithm: str | None = None, **changes: Any) -> Forge:
    """Sign with another key, after the given changes to the header that make a verifier want to look for it."""
    return lambda token: replace(
        token, header=_changed(token.header, changes), key=key, algorithm=algorithm or token.algorithm
    ).text()


def text(change: Callable[[str], str]) -> Forge:
    """Change the finished token."""
    return lambda token: change(token.text())


def _changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not DROP}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
