"""Reading an issuer's JWK set (RFC 7517) strictly: only what surely verifies is taken over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwk
from joserfc.errors import JoseError

from ordermgmt.security.jose_json import Refused, decode_base64url, decode_object
from ordermgmt.security.keys import ALGORITHMS, VerificationKey
from ordermgmt.telemetry.logs import get_logger

__all__ = ["MAX_DOCUMENT", "read_key", "read_key_set"]

MAX_DOCUMENT = 256 * 1024
"""Bytes of a JWK set: 64 keys with 4 KiB each, a certificate chain included."""
MAX_KEYS = 64
MAX_KID = 256
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Verifying costs the square of it: 8192 bits are 16 times the work of 2048."""

_PUBLIC = {"EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x"), "RSA": ("kty", "n", "e")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

_log = get_logger("security")


def read_key_set(document: bytes, algorithms: Collection[str]) -> dict[str, VerificationKey]:
    """Return the keys of a JWK set that verify one of `algorithms`, by `kid`.

    A key that is of no use here is left out, and the log says why: one strange key must not take the others
    with it. The result may be empty. Raises Refused if the document as a whole is not a JWK set.
    """
    members = decode_object(document, MAX_DOCUMENT).get("keys")
    if not isinstance(members, list):
        raise Refused("no-keys-member")
    if len(members) > MAX_KEYS:
        raise Refused("too-many-keys")
    keys: dict[str, VerificationKey] = {}
    for member in members:
        try:
            key = read_key(member, algorithms)
        except Refused as error:
            kid = member.get("kid") if isinstance(member, dict) else None
            _log.warning("key-skipped", reason=error.reason, kid=f"{kid!a:.80}")
            continue
        if keys.setdefault(key.kid, key) is not key:
            _log.warning("key-skipped", reason="duplicate-kid", kid=f"{key.kid!a:.80}")
    return keys


def read_key(member: object, algorithms: Collection[str]) -> VerificationKey:
    """Return one JWK as the key for one of `algorithms`. Raises Refused with the reason why it is none.

    Its algorithm is its `alg`, or without one the only one of `algorithms` that fits its type and curve; if
    several fit, it is refused. A private key in a public document is known to everybody, and refused too.
    """
    if not isinstance(member, dict):
        raise Refused("not-an-object")
    kid = member.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise Refused("no-kid")
    if member.get("kty") == "oct":
        raise Refused("symmetric-key")
    if not _PRIVATE.isdisjoint(member):
        raise Refused("private-key")
    _check_purpose(member)
    algorithm = _algorithm(member, algorithms)
    public: dict[str, str | list[str]] = {name: _text(member, name) for name in _PUBLIC[member["kty"]]}
    if member["kty"] == "RSA":
        _check_rsa_size(_text(member, "n"))
    try:
        key = jwk.import_key(public)
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused("bad-key-material") from error
    return VerificationKey.of(kid, algorithm, key)


def _text(member: Mapping[str, Any], name: str) -> str:
    value = member.get(name)
    if not isinstance(value, str):
        raise Refused("bad-key-material")
    return value


def _check_purpose(member: Mapping[str, Any]) -> None:
    """`use` and `key_ops`, where present, must both mean verifying (RFC 7517 sections 4.2 and 4.3)."""
    if member.get("use", "sig") != "sig":
        raise Refused("wrong-use")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Refused("wrong-key-ops")


def _algorithm(member: Mapping[str, Any], algorithms: Collection[str]) -> str:
    kind = (member.get("kty"), member.get("crv") if member.get("kty") != "RSA" else None)
    fitting = [name for name in algorithms if ALGORITHMS.get(name) == kind]
    if "alg" in member:
        fitting = [name for name in fitting if name == member["alg"]]
    if len(fitting) != 1:
        raise Refused("several-algorithms" if fitting else "no-allowed-algorithm")
    return fitting[0]


def _check_rsa_size(modulus: str) -> None:
    """Measure before the key is made: that warns of a small one, and works hard on a large one."""
    bits = int.from_bytes(decode_base64url(modulus)).bit_length()
    if bits < MIN_RSA_BITS:
        raise Refused("rsa-too-small")
    if bits > MAX_RSA_BITS:
        raise Refused("rsa-too-large")
