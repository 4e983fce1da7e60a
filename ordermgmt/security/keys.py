"""Keys: those that verify signatures, where they come from, and those that sign.

Each key has exactly one algorithm (RFC 8725 section 3.1), so a token cannot choose how it is verified.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

from ordermgmt.errors import Unauthenticated
from ordermgmt.security.signatures import Check, prepare_check

__all__ = ["ALGORITHMS", "FixedKeys", "KeySource", "SigningAlgorithm", "SigningKey", "VerificationKey"]

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
}
"""Every algorithm that can be allowed, with the `kty` and `crv` of its keys. None of them is symmetric."""

SigningAlgorithm = Literal["ES256", "RS256"]
_REGISTRY = jws.JWSRegistry(algorithms=["ES256", "RS256"], strict_check_header=False)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm that it verifies. Equal if kid, algorithm and key material are."""

    kid: str
    algorithm: str
    thumbprint: str
    """RFC 7638."""
    verify: Check = field(compare=False, repr=False)

    @classmethod
    def of(cls, kid: str, algorithm: str, key: jwk.Key) -> VerificationKey:
        """Return the public half of `key` as the one for `algorithm`. Raises TypeError if it is of another kind."""
        return cls(kid, algorithm, key.thumbprint(), prepare_check(algorithm, key.get_op_key("verify")))


class KeySource(Protocol):
    """The keys of one issuer."""

    def current(self, kid: str) -> VerificationKey | None:
        """Return the key as it is known now, without waiting; None if it is unknown or no longer to be trusted."""
        ...

    async def find(self, kid: str) -> VerificationKey:
        """Return the key, asking the issuer for it if need be.

        Raises Unauthenticated("unknown-key"), or Unavailable if the issuer's keys cannot be had.
        """
        ...


class FixedKeys:
    """Keys that do not change: an issuer's own."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        self._keys = {key.kid: key for key in keys}

    def current(self, kid: str) -> VerificationKey | None:
        """Return the key, or None. See `KeySource.current`."""
        return self._keys.get(kid)

    async def find(self, kid: str) -> VerificationKey:
        """Return the key, without waiting. Raises Unauthenticated("unknown-key")."""
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("unknown-key", f"kid {kid!a:.80}")
        return key


class SigningKey:
    """A private key with its algorithm; its `kid` is its RFC 7638 thumbprint."""

    def __init__(self, algorithm: SigningAlgorithm, key: jwk.ECKey | jwk.RSAKey) -> None:
        self.algorithm = algorithm
        self.kid = key.thumbprint()
        self._key = key

    @classmethod
    def generate(cls, algorithm: SigningAlgorithm) -> SigningKey:
        """Make a new key: P-256 or RSA with 2048 bits. RSA takes a good part of a second."""
        if algorithm == "ES256":
            return cls(algorithm, jwk.ECKey.generate_key("P-256"))
        return cls(algorithm, jwk.RSAKey.generate_key(2048))

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Read what `to_pem` wrote. Raises ValueError if it is no private key of such a kind."""
        if b"PRIVATE KEY-----" in pem:
            for algorithm, kind in _KINDS.items():
                with contextlib.suppress(JoseError, TypeError, ValueError):
                    key = kind.import_key(pem)
                    if ALGORITHMS[algorithm] == (key.key_type, key.as_dict(private=False).get("crv")):
                        return cls(algorithm, key)
        msg = "not a P-256 or RSA private key"
        raise ValueError(msg)

    def to_pem(self) -> bytes:
        """Return the private key as unencrypted PEM: for a file of mode 0600, and nothing else."""
        return self._key.as_pem(private=True)

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a member of a JWK set, bound to its use and algorithm."""
        public = {name: str(value) for name, value in self._key.as_dict(private=False).items()}
        return public | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def verification_key(self) -> VerificationKey:
        """Return the public half, for whoever verifies its own tokens."""
        return VerificationKey.of(self.kid, self.algorithm, self._key)

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """Return `claims` as a signed JWT of the type `typ` (RFC 7515 section 3.1)."""
        header = {"alg": self.algorithm, "typ": typ, "kid": self.kid}
        return jws.serialize_compact(header, msgspec.json.encode(claims), self._key, registry=_REGISTRY)


_KINDS: Mapping[SigningAlgorithm, type[jwk.ECKey | jwk.RSAKey]] = {"ES256": jwk.ECKey, "RS256": jwk.RSAKey}
