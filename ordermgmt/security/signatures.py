"""Checking the signature of a token (RFC 7518 sections 3.3 to 3.5, RFC 8037 section 3.1).

joserfc makes and reads keys and signs. To verify, it looks up and builds for every token what is the same for all
tokens of a key; a service that verifies at every request does that once per key, and calls cryptography.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

__all__ = ["Check", "prepare_check"]

Check = Callable[[bytes, bytes], bool]
"""Whether the second is a signature over the first."""

_HASHES: Mapping[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def prepare_check(algorithm: str, key: Any) -> Check:
    """Return the check of `algorithm`, one of `keys.ALGORITHMS`, with this public key.

    Raises TypeError for a key of another kind than the algorithm's.
    """
    family = algorithm[:2]
    if family == "ES" and isinstance(key, EllipticCurvePublicKey):
        return _elliptic(key, ECDSA(_HASHES[algorithm[2:]]))
    if family == "RS" and isinstance(key, RSAPublicKey):
        return _padded(key, padding.PKCS1v15(), _HASHES[algorithm[2:]])
    if family == "PS" and isinstance(key, RSAPublicKey):
        digest = _HASHES[algorithm[2:]]
        return _padded(key, padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size), digest)
    if family == "Ed" and isinstance(key, Ed25519PublicKey):
        return _never_raising(lambda signed, signature: key.verify(signature, signed))
    msg = f"not a key for {algorithm}"
    raise TypeError(msg)


def _padded(key: RSAPublicKey, scheme: padding.AsymmetricPadding, digest: HashAlgorithm) -> Check:
    def check(signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed, scheme, digest)
        except InvalidSignature:
            return False
        return True

    return check


def _elliptic(key: EllipticCurvePublicKey, ecdsa: ECDSA) -> Check:
    """The signature is R and S side by side, each as long as the curve's field (RFC 7518 section 3.4)."""
    size = (key.curve.key_size + 7) // 8

    def verify(signed: bytes, signature: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.verify(encode_dss_signature(r, s), signed, ecdsa)

    return _never_raising(verify)


def _never_raising(verify: Callable[[bytes, bytes], None]) -> Check:
    def check(signed: bytes, signature: bytes) -> bool:
        try:
            verify(signed, signature)
        except InvalidSignature:
            return False
        return True

    return check
