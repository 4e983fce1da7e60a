"""Keys, headers, claims and tokens: valid ones, and what it takes to make others."""

from __future__ import annotations

import json
from typing import Any

from joserfc import jwk
from joserfc.jws import JWSRegistry

from ordermgmt.security import binding, jwk_set
from ordermgmt.security.jose_json import encode_base64url
from ordermgmt.security.tokens import TrustedIssuer

NOW = 1_700_000_000.0
ISSUER = "https://sts.example"
ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
TRUST = TrustedIssuer(ISSUER, "order", ALGORITHMS)
DER = b"a certificate"
THUMBPRINT = binding.thumbprint(DER)

PRIVATE: dict[str, Any] = {
    "ES256": jwk.ECKey.generate_key("P-256"),
    "RS256": jwk.RSAKey.generate_key(2048),
    "PS256": jwk.RSAKey.generate_key(2048),
    "EdDSA": jwk.OKPKey.generate_key("Ed25519"),
}
STRANGER = jwk.ECKey.generate_key("P-256")


def public(algorithm: str, **changes: Any) -> dict[str, Any]:
    member = PRIVATE[algorithm].as_dict(private=False) | {"kid": algorithm, "alg": algorithm, "use": "sig"} | changes
    return {name: value for name, value in member.items() if value is not None}


def document(*members: Any) -> bytes:
    return json.dumps({"keys": list(members)}).encode()


KEYS = jwk_set.read_key_set(document(*map(public, ALGORITHMS)), ALGORITHMS)


def header(algorithm: str = "ES256", **changes: Any) -> dict[str, Any]:
    return {"alg": algorithm, "typ": "at+jwt", "kid": algorithm} | changes


def claims(**changes: Any) -> dict[str, Any]:
    valid = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "order",
        "exp": NOW + 60,
        "nbf": NOW,
        "iat": NOW,
        "scope": "add_order",
        "client_id": "gateway",
    }
    return valid | changes


def encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def sign(head: Any, body: Any, key: Any = None, algorithm: str = "ES256") -> str:
    """Sign whatever it is, as `algorithm`."""
    signed = f"{encode_base64url(encode(head))}.{encode_base64url(encode(body))}".encode()
    signature = JWSRegistry.algorithms[algorithm].sign(signed, key or PRIVATE[algorithm])
    return f"{signed.decode()}.{encode_base64url(signature)}"


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


VALID = sign(header(), claims())
