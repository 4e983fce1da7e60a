"""Issuers besides the STS: their keys, what they publish, and tokens of theirs that are good."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from joserfc import jwk

from ordermgmt.config import IssuerConfig
from tests.contract.unforgeable.forging import Token, b64

__all__ = [
    "HOST",
    "ID",
    "PORT",
    "RIVAL",
    "SUITE",
    "Skipped",
    "attacker",
    "documents",
    "foreign_tokens",
    "issuers",
    "skipped_keys",
    "suite_token",
]

HOST, PORT = "localhost", 7443
SUITE = "https://sts.example"
"""Stands for the STS where none runs."""
ID = "https://id.example"
"""Has a key of each kind, and publishes many that are of no use."""
RIVAL = "https://rival.example"
"""Has a key with the same `kid` as one of ID's, and tokens of the type JWT."""

ALGORITHMS = {"es": "ES256", "rs": "RS256", "ps": "PS256", "ed": "EdDSA"}


@cache
def keys() -> dict[str, jwk.Key]:
    """Private keys by base. One RSA key serves two JWKs, so that they differ in nothing but their algorithm."""
    both = jwk.RSAKey.generate_key(2048)
    return {
        "es": jwk.ECKey.generate_key("P-256"),
        "rs": both,
        "ps": both,
        "ed": jwk.OKPKey.generate_key("Ed25519"),
        "rival": jwk.ECKey.generate_key("P-256"),
    }


@cache
def attacker() -> jwk.ECKey:
    """A key that nobody trusts."""
    return jwk.ECKey.generate_key("P-256")


def public(base: str, kid: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a key as its issuer publishes it, with changes; None leaves a member out."""
    key = keys()[base]
    member = {**key.as_dict(private=False), "kid": kid or base, "use": "sig", "alg": ALGORITHMS.get(base, "ES256")}
    return {name: value for name, value in (member | changes).items() if value is not None}


class Skipped(NamedTuple):
    """A published key of ID that must not verify anything, although the one it is a copy of does."""

    kid: str
    base: str
    reason: str
    member: dict[str, Any]


def _skipped(reason: str, base: str = "es", /, **changes: Any) -> tuple[str, str, dict[str, Any]]:
    return reason, base, changes


_SKIPPED = {
    # RFC 7517 sections 4.2 and 4.3
    "use-enc": _skipped("wrong-use", use="enc"),
    "use-list": _skipped("wrong-use", use=["sig"]),
    "use-case": _skipped("wrong-use", use="SIG"),
    "ops-sign": _skipped("wrong-key-ops", key_ops=["sign"]),
    "ops-none": _skipped("wrong-key-ops", key_ops=[]),
    "ops-text": _skipped("wrong-key-ops", key_ops="verify"),
    # RFC 8725 sections 3.1 and 3.2: one algorithm for each key, which fits its type and curve
    "alg-other-curve": _skipped("no-allowed-algorithm", alg="ES384"),
    "alg-symmetric": _skipped("no-allowed-algorithm", alg="HS256"),
    "alg-none": _skipped("no-allowed-algorithm", alg="none"),
    "alg-other-type": _skipped("no-allowed-algorithm", alg="RS256"),
    "alg-number": _skipped("no-allowed-algorithm", alg=7),
    "alg-open": _skipped("several-algorithms", "rs", alg=None),
    "kty-other": _skipped("no-allowed-algorithm", kty="RSA"),
    "kty-case": _skipped("no-allowed-algorithm", kty="ec"),
    "kty-symmetric": _skipped("symmetric-key", kty="oct", k="QUJD"),
    "crv-other": _skipped("no-allowed-algorithm", crv="P-384"),
    "crv-bitcoin": _skipped("no-allowed-algorithm", crv="secp256k1"),
    "crv-exchange": _skipped("no-allowed-algorithm", "ed", crv="X25519"),
    "crv-ed448": _skipped("no-allowed-algorithm", "ed", crv="Ed448"),
    # what everybody knows, or nobody can use
    "private-ec": _skipped("private-key", d="AQ"),
    "private-rsa": _skipped("private-key", "rs", p="Bw"),
    "off-curve": _skipped("bad-key-material", y=b64((7).to_bytes(32))),
    "half-a-point": _skipped("bad-key-material", y=7),
    "short-okp": _skipped("bad-key-material", "ed", x=b64(bytes(31))),
    "exponent-one": _skipped("bad-key-material", "rs", e="AQ"),
    "modulus-small": _skipped("rsa-too-small", "rs", n=b64(b"\xff" * 128)),
    "modulus-huge": _skipped("rsa-too-large", "rs", n=b64(b"\xff" * 1025)),
}


@cache
def skipped_keys() -> tuple[Skipped, ...]:
    return tuple(
        Skipped(kid, base, reason, public(base, kid, **changes)) for kid, (reason, base, changes) in _SKIPPED.items()
    )


def documents() -> dict[str, dict[str, Any]]:
    """Return the JWK sets, by path."""
    twice = [public("es", "twice"), {**attacker().as_dict(private=False), "kid": "twice", "alg": "ES256"}]
    own = [public(base) for base in ALGORITHMS]
    return {
        "/id": {"keys": [*own, *twice, *(skipped.member for skipped in skipped_keys())]},
        "/rival": {"keys": [public("rival", "es")]},
    }


def issuers(ca_file: str) -> tuple[IssuerConfig, ...]:
    """Return how the order service is told of them."""
    scopes = {"orders.write": "add_order", "orders.change": "update_order"}
    where = f"https://{HOST}:{PORT}"
    return (
        IssuerConfig(ID, "orders", f"{where}/id", ca_file, tuple(ALGORITHMS.values()), ("at+jwt",), scopes),
        IssuerConfig(RIVAL, "orders", f"{where}/rival", ca_file, ("ES256",), ("JWT",), scopes),
    )


def suite_token(now: float) -> Token:
    """Return a good token as the STS makes them, for where there is no STS."""
    key = jwk.ECKey.generate_key("P-256")
    body = {"iss": SUITE, "sub": "client:alice-app", "aud": "order", "client_id": "alice-app", "scope": "add_order",
            "iat": int(now), "exp": int(now) + 60, "jti": "Zm9yZ2Vk"}  # fmt: skip
    return Token({"alg": "ES256", "typ": "at+jwt", "kid": key.thumbprint()}, body, key, "ES256")


def foreign_tokens(now: float) -> dict[str, Token]:
    """Return a good token for each base."""
    body = {"sub": "alice", "aud": "orders", "scope": "orders.write", "iat": int(now), "exp": int(now) + 600}
    found = {
        base: Token({"alg": name, "typ": "at+jwt", "kid": base}, {"iss": ID, **body}, keys()[base], name)
        for base, name in ALGORITHMS.items()
    }
    rival = Token({"alg": "ES256", "typ": "JWT", "kid": "es"}, {"iss": RIVAL, **body}, keys()["rival"], "ES256")
    return found | {"rival": rival}
