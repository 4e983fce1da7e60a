"""What verifying a token costs, next to the signature check without which nobody can do.

A hit is a token that was seen before, with all that is checked on every use; a miss is one that was not. Both go
through TokenVerifier, whole. `make bench-tokens` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwk, jws
from rich.console import Console
from rich.table import Table

from ordermgmt.ids import new_id
from ordermgmt.security import binding, tokens
from ordermgmt.security.jose_json import encode_base64url
from ordermgmt.security.keys import FixedKeys, VerificationKey
from ordermgmt.security.peer import Peer
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import TokenVerifier

__all__ = ["ALGORITHMS", "Cost", "measure"]

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
ISSUER = "https://sts.example"
NOW = 1_700_000_000
PEER = Peer("gateway", "spiffe://ordermgmt.local/gateway", binding.thumbprint(b"a certificate"))
SHA256 = hashes.SHA256()
PADDINGS: dict[str, padding.AsymmetricPadding] = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(mgf=padding.MGF1(SHA256), salt_length=SHA256.digest_size),
}


class Cost(NamedTuple):
    """Microseconds a token: the best of all rounds, which is what the code costs and not what else the machine did."""

    signature: float
    miss: float
    hit: float

    @property
    def ratio(self) -> float:
        """How many signature checks a miss costs."""
        return self.miss / self.signature


class _Clock:
    def now(self) -> float:
        return NOW


def measure(algorithm: str, rounds: int = 60, size: int = 10) -> Cost:
    """Measure in turns, `rounds` times `size` tokens each: a load that comes and goes meets all of them."""
    private = _new_key(algorithm)
    key = VerificationKey.of("a-key", algorithm, private)
    verifier = TokenVerifier([(TrustedIssuer(ISSUER, "order", ALGORITHMS), FixedKeys([key]))], _Clock())
    unseen = [_sign(algorithm, private, serial) for serial in range(rounds * size)]
    signature, miss, hit = [], [], []
    for first in range(0, len(unseen), size):
        batch = unseen[first : first + size]
        calls = [partial(_finish, verifier, token) for token in batch]
        signature.append(_time([_bare_check(algorithm, private, token) for token in batch]))
        miss.append(_time(calls))
        hit.append(_time(calls))
    return Cost(min(signature), min(miss), min(hit))


def _time(calls: Sequence[Callable[[], object]]) -> float:
    began = perf_counter_ns()
    for call in calls:
        call()
    return (perf_counter_ns() - began) / len(calls) / 1000


def _finish(verifier: TokenVerifier, token: str) -> None:
    """Run `verify` without an event loop: with the key at hand it waits for nothing."""
    try:
        verifier.verify(token, PEER).send(None)
    except StopIteration:
        return
    msg = "waits"
    raise AssertionError(msg)


def _bare_check(algorithm: str, private: jwk.Key, token: str) -> Callable[[], object]:
    """Return the check by cryptography, with everything prepared that can be."""
    key: Any = private.get_op_key("verify")
    unverified = tokens.parse(token)
    signed, signature = unverified.signed, unverified.signature
    if algorithm == "EdDSA":
        return partial(key.verify, signature, signed)
    if algorithm == "ES256":
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        return partial(key.verify, der, signed, ec.ECDSA(SHA256))
    return partial(key.verify, signature, signed, PADDINGS[algorithm], SHA256)


def _new_key(algorithm: str) -> jwk.Key:
    if algorithm == "ES256":
        return jwk.ECKey.generate_key("P-256")
    if algorithm == "EdDSA":
        return jwk.OKPKey.generate_key("Ed25519")
    return jwk.RSAKey.generate_key(2048)


def _sign(algorithm: str, private: jwk.Key, serial: int) -> str:
    """Make a token with all that the STS puts into one, bound to a certificate."""
    claims = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "order",
        "exp": NOW + 60,
        "nbf": NOW,
        "iat": NOW,
        "jti": new_id(partial(serial.to_bytes, byteorder="little")),
        "client_id": "gateway",
        "scope": "add_order update_order",
        "act": {"sub": "client:gateway"},
        "preferred_username": "alice",
        "name": "Alice Example",
        "roles": ["clerk"],
        "cnf": binding.confirmation(PEER.thumbprint),
    }
    header = {"alg": algorithm, "typ": "at+jwt", "kid": "a-key"}
    signed = ".".join(encode_base64url(msgspec.json.encode(part)) for part in (header, claims))
    signature = jws.JWSRegistry.algorithms[algorithm].sign(signed.encode(), private)
    return f"{signed}.{encode_base64url(signature)}"


def main() -> None:
    """Print one row per algorithm as it is measured."""
    table = Table("algorithm", "signature us", "miss us", "ratio", "hit us", box=None)
    for algorithm in ALGORITHMS:
        sys.stderr.write(f"measuring {algorithm}\n")
        cost = measure(algorithm, rounds=300)
        figures = (f"{figure:.2f}" for figure in (cost.signature, cost.miss, cost.ratio, cost.hit))
        table.add_row(algorithm, *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
