"""Signatures at the edges of their mathematics: what a lenient implementation takes, and a strict one does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwk
from joserfc.jws import JWSRegistry

from tests.contract.unforgeable.forging import Token, b64, unb64

__all__ = ["Vector", "ecdsa", "eddsa", "rsa", "vector"]

Vector = dict[str, Any]
Made = tuple[list[dict[str, Any]], list[Vector]]
"""A JWK set and what is to be checked with it."""

CURVES = {
    "ES256": ("P-256", 32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    "ES384": ("P-384", 48, int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)),
    "ES512": (
        "P-521",
        66,
        int("1" + "F" * 64 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
    ),
}
"""Curve, bytes of a coordinate and order of the base point."""
L = 2**252 + 27742317777372353535851937790883648493
"""Order of the base point of Ed25519."""
BITS = 2048
SIZE = BITS // 8
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DER of DigestInfo before the digest itself (RFC 8017 section 9.2, note 1)."""
WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201" + "0420")
SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")
SHA512_INFO = bytes.fromhex("3051300d060960864801650304020305000440")


def vector(comment: str, token: str, code: str = "") -> Vector:
    """Return one vector; without a code the token is good."""
    verdict = "refused" if code else "accepted"
    return {"comment": comment, "token": token, "verdict": verdict} | ({"code": code} if code else {})


def _signed(token: Token) -> tuple[str, bytes]:
    signed, _, signature = token.text().rpartition(".")
    return signed, unb64(signature)


def _public(key: jwk.Key, kid: str, algorithm: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}


def _with_key(token: Token, key: jwk.Key, kid: str, algorithm: str) -> Token:
    return replace(token, header={**token.header, "alg": algorithm, "kid": kid}, key=key, algorithm=algorithm)


def ecdsa(token: Token) -> Made:
    """RFC 7518 section 3.4."""
    keys, vectors = [], []
    for algorithm, (curve, size, n) in CURVES.items():
        key = jwk.ECKey.generate_key(curve)
        made = _with_key(token, key, algorithm, algorithm)
        keys.append(_public(key, algorithm, algorithm))
        vectors += [{**found, "comment": f"{algorithm}: {found['comment']}"} for found in _ecdsa(made, size, n)]
    return keys, vectors


def _ecdsa(token: Token, size: int, n: int) -> Iterator[Vector]:
    signed, signature = _signed(token)
    r, s = (int.from_bytes(half) for half in (signature[:size], signature[size:]))

    def pair(first: int, second: int) -> str:
        return f"{signed}.{b64(first.to_bytes(size) + second.to_bytes(size))}"

    yield vector("good", pair(r, s))
    yield vector("n - s instead of s is good, too", pair(r, n - s))
    for name, half in (("r", 0), ("s", 1)):
        short = _with_zero(token, size * half, size)
        signed_short, _, encoded = short.rpartition(".")
        halves = [unb64(encoded)[:size], unb64(encoded)[size:]]
        yield vector(f"{name} begins with a zero byte", short)
        halves[half] = halves[half].lstrip(b"\0")
        yield vector(f"{name} without its zero bytes", f"{signed_short}.{b64(b''.join(halves))}", "bad-signature")
    yield vector(
        "a zero byte more before s", f"{signed}.{b64(signature[:size] + bytes(1) + signature[size:])}", "bad-signature"
    )
    full = 2 ** (8 * size) - 1
    for first, second in ((0, 0), (0, s), (r, 0), (1, 1), (n, s), (r, n), (n, n), (n - r, s), (s, r), (n - 1, n - 1),
                          (full, full), (1, 0), (0, 1), (n + 1, 1)):  # fmt: skip
        names = {0: "0", 1: "1", n: "n", n - 1: "n-1", n + 1: "n+1", r: "r", s: "s", n - r: "n-r", full: "all ones"}
        yield vector(f"({names[first]}, {names[second]})", pair(first, second), "bad-signature")
    for name, odd in {
        "empty": b"",
        "r only": signature[:size],
        "a byte less": signature[:-1],
        "a byte more": signature + b"\0",
        "DER": encode_dss_signature(r, s),
        "with the point format before": b"\4" + signature,
    }.items():
        yield vector(name, f"{signed}.{b64(odd)}", "bad-signature")


def _with_zero(token: Token, index: int, size: int) -> str:
    """Sign until the number at `index` begins with a zero byte; P-521 leaves 7 bits of the first one empty."""
    while True:
        text = token.text()
        signature = unb64(text.rpartition(".")[2])
        if signature[index] == 0 and (signature[index + 1] == 0 or size < 66):
            return text


def rsa(token: Token) -> Made:
    """RFC 8017 sections 8.1 and 8.2."""
    key = jwk.RSAKey.generate_key(BITS)
    pkcs1, pss = (_with_key(token, key, algorithm, algorithm) for algorithm in ("RS256", "PS256"))
    vectors = [*_pkcs1(pkcs1), *_pss(pss)]
    return [_public(key, algorithm, algorithm) for algorithm in ("RS256", "PS256")], vectors


def _raw(token: Token) -> tuple[str, int, Callable[[bytes], str]]:
    """Return what is signed, the modulus, and how to sign an encoded message as it is."""
    signed = token.text().rpartition(".")[0]
    key: Any = token.key.get_op_key("sign")
    numbers = key.private_numbers()
    n = numbers.public_numbers.n

    def sign(encoded: bytes) -> str:
        return f"{signed}.{b64(pow(int.from_bytes(encoded), numbers.d, n).to_bytes(SIZE))}"

    return signed, n, sign


def _pkcs1(token: Token) -> Iterator[Vector]:
    signed, n, sign = _raw(token)
    digest = hashlib.sha256(signed.encode()).digest()

    def padded(info: bytes, kind: int = 1, fill: bytes = b"\xff", tail: bytes = b"") -> bytes:
        return bytes([0, kind]) + fill * (SIZE - 3 - len(info) - len(tail)) + b"\0" + info + tail

    good = SHA256_INFO + digest
    yield vector("RS256: good", sign(padded(good)))
    yield from (
        vector(f"RS256: {name}", sign(encoded), "bad-signature")
        for name, encoded in {
            "parameters of the hash left out": padded(WITHOUT_NULL + digest),
            "8 bytes of padding, and rubbish after the digest": b"\0\1" + b"\xff" * 8 + b"\0" + good
            + os.urandom(SIZE - 11 - len(good)),
            "a zero byte after the digest": padded(good, tail=b"\0"),
            "padding of zeros": padded(good, fill=b"\0"),
            "padding of random bytes": padded(good, fill=b"\x5a"),
            "block type 0": padded(good, kind=0),
            "block type 2": padded(good, kind=2),
            "no DigestInfo": padded(digest),
            "SHA-1": padded(SHA1_INFO + hashlib.sha1(signed.encode(), usedforsecurity=False).digest()),
            "SHA-512": padded(SHA512_INFO + hashlib.sha512(signed.encode()).digest()),
            "SHA-256 under the name of SHA-512": padded(SHA512_INFO + digest),
            "another message": padded(SHA256_INFO + hashlib.sha256(b"another").digest()),
            "nothing": bytes(SIZE),
            "one": (1).to_bytes(SIZE),
        }.items()
    )  # fmt: skip
    signature = int.from_bytes(unb64(sign(padded(good)).rpartition(".")[2]))
    yield vector("RS256: n more", f"{signed}.{b64((signature + n).to_bytes(SIZE + 1))}", "bad-signature")
    yield vector("RS256: the negative", f"{signed}.{b64((n - signature).to_bytes(SIZE))}", "bad-signature")
    other = JWSRegistry.algorithms["PS256"].sign(signed.encode(), token.key)
    yield vector("RS256: PSS", f"{signed}.{b64(other)}", "bad-signature")


def _mgf1(seed: bytes, size: int, name: str) -> bytes:
    blocks = [hashlib.new(name, seed + counter.to_bytes(4)).digest() for counter in range(size // 20 + 1)]
    return b"".join(blocks)[:size]


def _pss(token: Token) -> Iterator[Vector]:
    signed, _, sign = _raw(token)
    digest = hashlib.sha256(signed.encode()).digest()

    def encoded(
        salt: int = 32, mask: str = "sha256", trailer: int = 0xBC, fill: int = 0, digest: bytes = digest
    ) -> bytes:
        random = os.urandom(salt)
        hashed = hashlib.sha256(bytes(8) + digest + random).digest()
        block = bytes([fill]) * (SIZE - 34 - salt) + b"\1" + random
        masked = bytes(a ^ b for a, b in zip(block, _mgf1(hashed, len(block), mask), strict=True))
        return bytes([masked[0] & 0x7F]) + masked[1:] + hashed + bytes([trailer])

    yield vector("PS256: good", sign(encoded()))
    yield from (
        vector(f"PS256: {name}", sign(message), "bad-signature")
        for name, message in {
            "no salt": encoded(salt=0),
            "a short salt": encoded(salt=20),
            "a salt of 31 bytes": encoded(salt=31),
            "the longest salt": encoded(salt=SIZE - 34),
            "the mask made with SHA-1": encoded(mask="sha1"),
            "another trailer": encoded(trailer=0xCC),
            "padding of ones": encoded(fill=1),
            "another message": encoded(digest=hashlib.sha256(b"another").digest()),
            "nothing": bytes(SIZE),
        }.items()
    )
    other = JWSRegistry.algorithms["RS256"].sign(signed.encode(), token.key)
    yield vector("PS256: PKCS #1", f"{signed}.{b64(other)}", "bad-signature")


def eddsa(token: Token) -> Made:
    """RFC 8032 section 5.1.7."""
    key = jwk.OKPKey.generate_key("Ed25519")
    made = _with_key(token, key, "EdDSA", "EdDSA")
    signed, signature = _signed(made)
    point, s = signature[:32], int.from_bytes(signature[32:], "little")
    vectors = [vector("good", f"{signed}.{b64(signature)}")]
    vectors += [
        vector(name, f"{signed}.{b64(odd)}", "bad-signature")
        for name, odd in {
            "S + L instead of S": point + (s + L).to_bytes(32, "little"),
            "L - S instead of S": point + ((L - s) % L).to_bytes(32, "little"),
            "S = 0": point + bytes(32),
            "S = L": point + L.to_bytes(32, "little"),
            "S of all ones": point + b"\xff" * 32,
            "R of the identity": b"\1" + bytes(31) + signature[32:],
            "R of the identity, S = 0": b"\1" + bytes(63),
            "R not on the curve": b"\2" + bytes(31) + signature[32:],
            "the other R": point[:31] + bytes([point[31] ^ 0x80]) + signature[32:],
            "halves swapped": signature[32:] + point,
            "empty": b"",
            "half": point,
            "a byte less": signature[:-1],
            "a byte more": signature + b"\0",
            "all zeros": bytes(64),
        }.items()
    ]
    return [_public(key, "EdDSA", "EdDSA")], vectors
