"""JWK sets: which keys are taken over, and which are left out. Keys that sign."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

import pytest
from joserfc import jwk

from ordermgmt.security import jwk_set, tokens
from ordermgmt.security.jose_json import Refused, encode_base64url
from ordermgmt.security.keys import SigningAlgorithm, SigningKey
from tests.unit.jose_setup import ALGORITHMS, NOW, PRIVATE, TRUST, claims, document, public

SMALL = b"\xc1" + bytes(126) + b"\x01"
UNUSABLE = [
    "key",
    {},
    public("ES256", kid=None),
    public("ES256", kid=7),
    public("ES256", kid=""),
    public("ES256", use="enc"),
    public("ES256", use=None, key_ops=["sign"]),
    public("ES256", key_ops="verify"),
    public("ES256", key_ops=None, use=["sig"]),
    public("ES256", alg="RS256"),
    public("ES256", alg="ES384"),
    public("ES256", alg=["ES256"]),
    public("ES256", alg="none"),
    public("ES256", crv="P-384"),
    public("ES256", crv=["P-256"]),
    public("ES256", crv=None),
    public("ES256", kty="RSA"),
    public("ES256", kty=["EC"]),
    public("ES256", x=public("ES256")["y"]),
    public("ES256", x=7),
    public("ES256", y=None),
    public("ES256", y="é"),
    public("EdDSA", x="AA"),
    public("EdDSA", crv="Ed448"),
    public("EdDSA", crv="X25519"),
    public("RS256", alg=None),
    public("RS256", alg="RS512"),
    public("RS256", e="AQ"),
    public("RS256", e="AA"),
    public("RS256", n=7),
    public("RS256", n="!"),
    public("RS256", n=encode_base64url(SMALL)),
    public("RS256", n=encode_base64url(bytes(256) + SMALL)),
    public("RS256", n=encode_base64url(b"\xc1" * 2000)),
    PRIVATE["ES256"].as_dict(private=True) | {"kid": "ES256", "alg": "ES256"},
    {"kty": "oct", "k": "AAAA", "kid": "ES256", "alg": "HS256"},
    {"kty": "oct", "k": "AAAA", "kid": "ES256", "alg": "ES256"},
]


@pytest.mark.parametrize("member", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_key_that_is_of_no_use_is_left_out_alone(member: Any) -> None:
    other = public("ES256", kid="good")
    assert set(jwk_set.read_key_set(document(member, other), ALGORITHMS)) == {"good"}


def test_a_key_without_alg_gets_the_only_algorithm_that_fits() -> None:
    (key,) = jwk_set.read_key_set(document(public("RS256", alg=None)), ["ES256", "PS256"]).values()
    assert key.algorithm == "PS256"


def test_what_is_unknown_about_a_key_or_a_set_is_ignored() -> None:
    """RFC 7517 sections 4 and 5."""
    members = [public("ES256", kid="good", new={"a": 1}, x5u="https://attacker.example"), {"kty": "new", "kid": "new"}]
    assert set(jwk_set.read_key_set(json.dumps({"keys": members, "new": 1}).encode(), ALGORITHMS)) == {"good"}


def test_the_kid_of_a_key_is_its_thumbprint() -> None:
    """RFC 7638 section 3: SHA-256 of the members that are required, in order, without spaces."""
    for algorithm, members in (("ES256", ("crv", "kty", "x", "y")), ("RS256", ("e", "kty", "n"))):
        published = SigningKey.generate(cast("SigningAlgorithm", algorithm)).public_jwk()
        text = json.dumps({name: published[name] for name in members}, separators=(",", ":"))
        assert published["kid"] == encode_base64url(hashlib.sha256(text.encode()).digest())


def test_of_two_keys_with_one_kid_the_first_counts() -> None:
    first, second = public("ES256", kid="k"), public("EdDSA", kid="k")
    assert jwk_set.read_key_set(document(first, second), ALGORITHMS)["k"].algorithm == "ES256"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[],"keys":[]}',
        document(*[public("ES256", kid=str(n)) for n in range(65)]),
        b'{"keys":[]' + b" " * jwk_set.MAX_DOCUMENT + b"}",
        b'{"keys":' + b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_is_refused_as_a_whole(bad: bytes) -> None:
    with pytest.raises(Refused):
        jwk_set.read_key_set(bad, ALGORITHMS)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_signing_key_survives_its_file_and_signs_what_its_jwk_verifies(algorithm: Any) -> None:
    made = SigningKey.generate(algorithm)
    key = SigningKey.from_pem(made.to_pem())
    assert (key.kid, key.algorithm) == (made.kid, algorithm)
    assert key.public_jwk()["kid"] == jwk.import_key(dict(key.public_jwk())).thumbprint()
    keys = jwk_set.read_key_set(document(key.public_jwk()), ALGORITHMS)
    assert keys == {key.kid: key.verification_key()}
    assert tokens.verify(key.sign(claims(), "at+jwt"), keys, TRUST, NOW).sub == "alice"


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"x",
        PRIVATE["RS256"].as_pem(private=False),
        jwk.ECKey.generate_key("P-384").as_pem(),
        b"-----BEGIN PRIVATE KEY-----",
    ],
)
def test_what_is_no_signing_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        SigningKey.from_pem(pem)
