"""Rows about algorithms, keys and signatures: RFC 8725 sections 3.1 to 3.5 and 3.10, RFC 7515, RFC 7518."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.contract.unforgeable import issuers
from tests.contract.unforgeable.forging import (
    DROP,
    Forge,
    Row,
    Token,
    b64,
    claims,
    header,
    signature,
    signed_by,
    unb64,
)

__all__ = ["N", "high_s", "rows"]

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256."""


def rows() -> list[Row]:
    return [*_no_algorithm(), *_secrets(), *_mismatches(), *_signatures(), *_keys_in_header(), *_kids(), *_issuers()]


def unsigned(algorithm: Any) -> Forge:
    """RFC 7515 appendix A.5: an empty signature."""
    return lambda token: str(header(alg=algorithm)(token)).rpartition(".")[0] + "."


def _no_algorithm() -> Iterator[Row]:
    for name in ("none", "None", "NONE", "nOnE", "none ", ""):
        yield Row(f"alg {name!r}, signature kept", header(alg=name), "algorithm-refused")
        yield Row(f"alg {name!r}, no signature", unsigned(name), "algorithm-refused")
    for value in (None, 7, True, ["ES256"], {"alg": "ES256"}, DROP):
        yield Row(f"alg is {'missing' if value is DROP else value}", header(alg=value), "algorithm-refused")
    for name in ("es256", "ES256 ", "ES384", "ES512", "ES256K", "HS256", "HS512", "RS1", "dir", "A128KW", "EdDSA"):
        yield Row(f"alg {name!r} is not the issuer's", header(alg=name), "algorithm-refused")
    yield Row("alg Ed25519 where EdDSA is meant", header(alg="Ed25519"), "algorithm-refused", "ed")


def _hs256(secret: Callable[[Token], bytes], algorithm: str = "HS256", digest: str = "sha256") -> Forge:
    def forge(token: Token) -> str:
        signed = str(header(alg=algorithm)(token)).rpartition(".")[0]
        return f"{signed}.{b64(hmac.digest(secret(token), signed.encode(), digest))}"

    return forge


def _encoded(encoding: Encoding, kind: PublicFormat) -> Callable[[Token], bytes]:
    def encode(token: Token) -> bytes:
        key: Any = token.key.get_op_key("verify")
        return bytes(key.public_bytes(encoding, kind))

    return encode


def _member(token: Token) -> dict[str, Any]:
    return dict(token.key.as_dict(private=False))


SECRETS: dict[str, Callable[[Token], bytes]] = {
    "PEM": _encoded(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "PEM without the last newline": lambda t: SECRETS["PEM"](t).strip(),
    "PEM with CRLF": lambda t: SECRETS["PEM"](t).replace(b"\n", b"\r\n"),
    "DER": _encoded(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "JWK": lambda t: json.dumps(_member(t)).encode(),
    "JWK without spaces": lambda t: json.dumps(_member(t), separators=(",", ":"), sort_keys=True).encode(),
    "JWK set": lambda _: json.dumps(issuers.documents()["/id"]).encode(),
    "thumbprint": lambda t: t.key.thumbprint().encode(),
    "kid": lambda t: str(t.header["kid"]).encode(),
    "nothing": lambda _: b"",
}
OF_RSA: dict[str, Callable[[Token], bytes]] = {
    "PKCS #1 PEM": _encoded(Encoding.PEM, PublicFormat.PKCS1),
    "PKCS #1 DER": _encoded(Encoding.DER, PublicFormat.PKCS1),
    "raw n": lambda t: unb64(_member(t)["n"]),
    "n as base64url": lambda t: str(_member(t)["n"]).encode(),
}
OF_EC: dict[str, Callable[[Token], bytes]] = {
    "point": _encoded(Encoding.X962, PublicFormat.UncompressedPoint),
    "compressed point": _encoded(Encoding.X962, PublicFormat.CompressedPoint),
    "raw x": lambda t: unb64(_member(t)["x"]),
}


def _secrets() -> Iterator[Row]:
    for base, own in (("rs", OF_RSA), ("es", OF_EC)):
        for name, secret in (SECRETS | own).items():
            yield Row(f"HS256 with {base} as {name}", _hs256(secret), "algorithm-refused", base)
    for algorithm, digest in (("HS384", "sha384"), ("HS512", "sha512")):
        forge = _hs256(SECRETS["PEM"], algorithm, digest)
        yield Row(f"{algorithm} with rs as PEM", forge, "algorithm-refused", "rs")
    yield Row("an HMAC under the name RS256", _hs256(SECRETS["PEM"], "RS256"), "bad-signature", "rs")


def _mismatches() -> Iterator[Row]:
    """An algorithm that the issuer has, with a key of it that is for another."""
    for base, other in (("es", "rs"), ("rs", "es"), ("ed", "es"), ("es", "ed"), ("rs", "ps"), ("ps", "rs")):
        yield Row(f"{base} with the kid of {other}", header(kid=other), "algorithm-mismatch", base)
    for base, algorithm in (("rs", "PS256"), ("ps", "RS256"), ("es", "EdDSA"), ("ed", "ES256"), ("es", "RS256")):
        yield Row(f"{base} under the name {algorithm}", header(alg=algorithm), "algorithm-mismatch", base)
    yield Row("the STS's key under the name RS256", header(alg="RS256"), "algorithm-mismatch")
    for base, algorithm in (("rs", "PS256"), ("ps", "RS256")):
        forge = _resigned(algorithm)
        yield Row(f"the key of {base} signs {algorithm} and says so", forge, "algorithm-mismatch", base)


def _resigned(algorithm: str) -> Forge:
    return lambda token: str(header(alg=algorithm)(replace(token, algorithm=algorithm)))


def _numbers(change: Callable[[int, int], tuple[int, int]]) -> Forge:
    """Change r and s of an ECDSA signature."""

    def apply(made: bytes) -> bytes:
        return b"".join(number.to_bytes(32) for number in change(int.from_bytes(made[:32]), int.from_bytes(made[32:])))

    return signature(apply)


high_s = _numbers(lambda r, s: (r, N - s))


def _signatures() -> Iterator[Row]:
    changes: dict[str, Forge] = {
        "empty": signature(lambda _: b""),
        "r = s = 0": _numbers(lambda _r, _s: (0, 0)),
        "r = 0": _numbers(lambda _, s: (0, s)),
        "s = 0": _numbers(lambda r, _: (r, 0)),
        "r = s = 1": _numbers(lambda _r, _s: (1, 1)),
        "r = s = n": _numbers(lambda _r, _s: (N, N)),
        "s = n": _numbers(lambda r, _: (r, N)),
        "r and s swapped": _numbers(lambda r, s: (s, r)),
        "r negated": _numbers(lambda r, s: (N - r, s)),
        "all ones": signature(lambda _: b"\xff" * 64),
        "one byte less": signature(lambda made: made[:-1]),
        "half": signature(lambda made: made[:32]),
        "one byte more": signature(lambda made: made + b"\0"),
        "one byte before": signature(lambda made: b"\0" + made),
        "r and s with a byte more each": signature(lambda made: b"\0" + made[:32] + b"\0" + made[32:]),
        "twice": signature(lambda made: made * 2),
        "first bit": signature(lambda made: bytes([made[0] ^ 0x80]) + made[1:]),
        "last bit": signature(lambda made: made[:-1] + bytes([made[-1] ^ 1])),
        "DER": signature(lambda made: encode_dss_signature(int.from_bytes(made[:32]), int.from_bytes(made[32:]))),
        "as hex": signature(lambda made: made.hex().encode()),
    }
    for name, forge in changes.items():
        yield Row(f"signature: {name}", forge, "bad-signature")
    for base in ("rs", "ps", "ed"):
        for name in ("empty", "one byte less", "one byte more", "one byte before", "first bit", "last bit", "twice"):
            yield Row(f"signature of {base}: {name}", changes[name], "bad-signature", base)
        yield Row(f"signature of {base}: zero", signature(lambda made: bytes(len(made))), "bad-signature", base)
    yield Row("claims changed under the signature", _grafted(1, claims(sub="client:admin-app")), "bad-signature")
    yield Row("header changed under the signature", _grafted(0, header(x="1")), "bad-signature")
    # RS256 gives the same signature twice: this one was seen a moment ago, and what was proven then may be remembered.
    yield Row("header changed under a known signature", _grafted(0, header(x="1")), "bad-signature", "rs")
    yield Row("claims changed under a known signature", _grafted(1, claims(sub="other")), "bad-signature", "rs")
    yield Row("signature of another token", _grafted(2, claims(jti="another")), "bad-signature")
    yield Row("signed by a stranger", signed_by(issuers.attacker()), "bad-signature")


def _grafted(index: int, forge: Forge) -> Forge:
    """Put one part of another token in."""

    def graft(token: Token) -> str:
        parts = token.text().split(".")
        parts[index] = str(forge(token)).split(".")[index]
        return ".".join(parts)

    return graft


def _keys_in_header() -> Iterator[Row]:
    """The token brings its own key, and is signed with it (RFC 8725 section 3.10). Nobody is asked for one."""
    stranger = issuers.attacker()
    member = {**stranger.as_dict(private=False), "kid": "attacker", "alg": "ES256", "use": "sig"}
    where = "https://attacker.example:7666/keys"
    brought: dict[str, Any] = {
        "jwk": member,
        "jku": where,
        "x5u": where,
        "x5c": ["MIIB"],
    }
    for name, value in brought.items():
        yield Row(f"{name} of the attacker", signed_by(stranger, **{name: value}), "key-in-header")
        yield Row(f"{name} and kid", signed_by(stranger, **{name: value, "kid": "attacker"}), "key-in-header")
        yield Row(f"{name} beside a good signature", header(**{name: value}), "key-in-header")
        yield Row(f"{name} is null", header(**{name: None}), "key-in-header")
    own = f"https://{issuers.HOST}:{issuers.PORT}/id"
    yield Row("jku of the issuer itself", header(jku=own), "key-in-header", "es")
    yield Row("iss is where the attacker's keys are", _signed_as(where), "unknown-issuer")
    yield Row("kid is where the attacker's keys are", signed_by(stranger, kid=where), "unknown-key")


def _signed_as(iss: str) -> Forge:
    stranger = issuers.attacker()
    return lambda token: replace(token, claims={**token.claims, "iss": iss}, key=stranger).text()


def _kids() -> Iterator[Row]:
    yield Row("kid missing", header(kid=DROP), "missing-kid")
    for value in (None, 7, True, ["es"], {"kid": "es"}, "", "k" * 257):
        yield Row(f"kid is {value!r:.20}", header(kid=value), "invalid-kid", "es")
    strange = ("ES", "es ", " es", "es\0", "e\u017f", "\uff45\uff53", "../es", "../../../../dev/null", "/etc/passwd",
               "es' OR '1'='1", "es; DROP TABLE keys", "$(id)", "*", "%65s", "k" * 256)  # fmt: skip
    for kid in strange:
        yield Row(f"kid is {kid!a:.30}", header(kid=kid), "unknown-key", "es")
    for skipped in issuers.skipped_keys():
        yield Row(f"published key {skipped.kid}", header(kid=skipped.kid), "unknown-key", skipped.base)
    second = signed_by(issuers.attacker(), kid="twice")
    yield Row("the second of two keys with one kid", second, "bad-signature", "es")


def _issuers() -> Iterator[Row]:
    """Keys are bound to issuers (RFC 8725 section 3.8)."""
    keys = issuers.keys()
    own = {"iss": issuers.ID}
    yield Row("RIVAL's key, ID's name, same kid", _as_issuer(own, typ="at+jwt"), "bad-signature", "rival")
    yield Row("ID's key signs for RIVAL, same kid", signed_by(keys["es"]), "bad-signature", "rival")
    yield Row("RIVAL's key signs for ID, same kid", signed_by(keys["rival"]), "bad-signature", "es")
    yield Row("ID's key signs for the STS", signed_by(keys["es"], kid="es"), "unknown-key")
    yield Row("ID's key under the STS's kid", signed_by(keys["es"]), "bad-signature")
    yield Row("ID's name in a token of RIVAL", claims(iss=issuers.ID), "wrong-type", "rival")
    yield Row("RIVAL's name in a token of ID", claims(iss=issuers.RIVAL), "wrong-type", "es")


def _as_issuer(changes: dict[str, str], **head: str) -> Forge:
    def forge(token: Token) -> str:
        return replace(token, header={**token.header, **head}, claims={**token.claims, **changes}).text()

    return forge
