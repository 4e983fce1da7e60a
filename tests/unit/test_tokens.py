"""Every rule of the verifier, one row each: a token that was just accepted, changed in one way, is refused."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk
from joserfc.jws import JWSRegistry

from ordermgmt.errors import StartError, Unauthenticated, Unavailable
from ordermgmt.security import binding, jwk_set, tokens
from ordermgmt.security.jose_json import Refused, decode_base64url, decode_object, encode_base64url
from ordermgmt.security.keys import FixedKeys, SigningKey, VerificationKey
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import CACHE_SIZE, TokenVerifier

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


def verify(token: str, thumbprint: str | None = None, trust: TrustedIssuer = TRUST, now: float = NOW) -> Principal:
    return tokens.verify(token, KEYS, trust, now, thumbprint)


def refusal(token: str, thumbprint: str | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verify(token, thumbprint)
    return caught.value.code


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


VALID = sign(header(), claims())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_verifies_with_its_key(algorithm: str) -> None:
    assert verify(sign(header(algorithm), claims(), algorithm=algorithm)).sub == "alice"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ({}, {"scope": ["add_order", "read_all_orders"]}),
        ({}, {"scope": ""}),
        ({}, {"aud": ["other", "order"]}),
        ({}, {"exp": NOW + 0.5}),
        ({}, {"nbf": NOW + tokens.SKEW, "iat": NOW + tokens.SKEW}),
        ({"unknown": {"nested": ["member"]}}, {}),
        ({"x5t": "abc", "b64": True}, {}),
        ({"typ": "AT+JWT"}, {}),
        ({"typ": "application/at+jwt"}, {}),
        ({"typ": "Application/AT+jwt"}, {}),
        ({}, {"name": "山田\u3000太郎", "roles": ["clerk"], "unknown": {"a": [1, 2.5, None]}}),
        ({}, {"emoji": "\U0001f600"}),
    ],
)
def test_valid_variations_are_accepted(head: dict[str, Any], body: dict[str, Any]) -> None:
    assert verify(sign(header(**head), claims(**body))).sub == "alice"


def hs256(head: dict[str, Any], secret: bytes) -> str:
    signed = f"{encode_base64url(encode(head))}.{encode_base64url(encode(claims()))}"
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def part(token: str, index: int, change: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[index] = change(parts[index])
    return ".".join(parts)


def append(extra: str, text: str) -> str:
    return text + extra


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


def raw(members: dict[str, Any], extra: str) -> bytes:
    """Add to an object what json.dumps cannot say."""
    return json.dumps(members)[:-1].encode() + b"," + extra.encode("utf-8", "surrogatepass") + b"}"


def non_canonical(text: str) -> str:
    """Set the bits of the last character that decode to nothing: 86 characters hold 516 bits, 64 bytes are 512."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 == 2
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


PEM = PRIVATE["RS256"].as_pem(private=False)
PUBLIC_DER = PRIVATE["RS256"].as_der(private=False)
ATTACKER = STRANGER.as_dict(private=False)

OTHER_AUDIENCES: list[Any] = ["inventory", "orders", "Order", "order ", []]
NO_AUDIENCES: list[Any] = [None, 1, "", [["order"]], ["order", 1], {"order": 1}, ["order"] * 65]
FIVE_ACTORS = {"sub": "1", "act": {"sub": "2", "act": {"sub": "3", "act": {"sub": "4", "act": {"sub": "5"}}}}}
NO_ACTORS: list[Any] = [None, "gateway", [], {}, {"sub": 1}, {"sub": "a", "act": None}, FIVE_ACTORS]

FORGED = [
    # RFC 8725 section 3.1: the algorithm is ours to choose
    *[(f"{encode_base64url(encode(header(alg=a)))}.{VALID.split('.')[1]}.", "algorithm-refused") for a in
      ("none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "HS256", "ES384", None, 7, ["ES256"], {"a": 1})],
    (f"{encode_base64url(encode(without(header(), 'alg')))}.{VALID.split('.')[1]}.", "algorithm-refused"),
    *[(hs256(header("RS256", alg="HS256"), secret), "algorithm-refused") for secret in
      (PEM, PEM.strip(), PUBLIC_DER, encode(public("RS256")), b"")],
    (sign(header(kid="RS256"), claims()), "algorithm-mismatch"),
    (sign(header("RS256", kid="PS256"), claims(), PRIVATE["PS256"], "RS256"), "algorithm-mismatch"),
    (sign(header("RS256", alg="PS256"), claims(), PRIVATE["RS256"], "PS256"), "algorithm-mismatch"),
    # signatures
    (part(VALID, 2, lambda _: ""), "bad-signature"),
    (part(VALID, 2, lambda _: encode_base64url(bytes(64))), "bad-signature"),
    (part(VALID, 2, lambda _: encode_base64url(bytes(31) + b"\1" + bytes(31) + b"\1")), "bad-signature"),
    (part(VALID, 2, lambda _: encode_base64url(b"\xff" * 64)), "bad-signature"),
    (part(VALID, 2, lambda s: encode_base64url(decode_base64url(s)[:-1])), "bad-signature"),
    (part(VALID, 2, lambda s: encode_base64url(decode_base64url(s) + b"\0")), "bad-signature"),
    (part(VALID, 1, lambda _: encode_base64url(encode(claims(sub="bob")))), "bad-signature"),
    (sign(header(), claims(), STRANGER), "bad-signature"),
    # keys come from the issuer
    (sign(header(kid="other"), claims()), "unknown-key"),
    (sign(without(header(), "kid"), claims()), "missing-kid"),
    *[(sign(header(kid=kid), claims()), "missing-kid") for kid in ("", 7, None, ["ES256"], "k" * 257)],
    (sign(header(jwk=ATTACKER), claims(), STRANGER), "key-in-header"),
    *[(sign(header(**{name: "https://attacker.example"}), claims(), STRANGER), "key-in-header")
      for name in ("jku", "x5u", "x5c")],
    (sign(header(jku=f"{ISSUER}/oauth2/jwks"), claims()), "key-in-header"),
    # header members that change the meaning
    *[(sign(header(crit=crit), claims()), "crit-refused") for crit in (["exp"], ["b64"], [], None, "exp")],
    (sign(header(b64=False), claims()), "unencoded-payload"),
    *[(sign(header(typ=typ), claims()), "wrong-type") for typ in
      ("JWT", "", "at+jwt ", "application/application/at+jwt", "xat+jwt", None, ["at+jwt"], "a\u0167+jwt")],
    (sign(without(header(), "typ"), claims()), "wrong-type"),
    # issuer, audience, subject
    *[(sign(header(), claims(iss=iss)), "unknown-issuer") for iss in ("https://other.example", ISSUER + "/", "wso2")],
    *[(sign(header(), claims(iss=iss)), "invalid-iss") for iss in (None, "", [ISSUER], 1)],
    (sign(header(), without(claims(), "iss")), "missing-iss"),
    *[(sign(header(), claims(aud=aud)), "wrong-audience") for aud in OTHER_AUDIENCES],
    *[(sign(header(), claims(aud=aud)), "invalid-aud") for aud in NO_AUDIENCES],
    (sign(header(), without(claims(), "aud")), "missing-aud"),
    *[(sign(header(), claims(sub=sub)), "invalid-sub") for sub in ("", None, 1, ["alice"], "a" * 257, "a\nb", "a\0")],
    (sign(header(), without(claims(), "sub")), "missing-sub"),
    # times
    (sign(header(), without(claims(), "exp")), "missing-exp"),
    *[(sign(header(), claims(exp=exp)), "expired") for exp in (NOW, NOW - 1, NOW - 0.5, 0)],
    (sign(header(), claims(nbf=NOW + tokens.SKEW + 1)), "not-yet-valid"),
    (sign(header(), claims(iat=NOW + tokens.SKEW + 1)), "issued-in-future"),
    *[(sign(header(), claims(**{name: value})), f"invalid-{name}")
      for name in ("exp", "nbf", "iat") for value in (str(NOW + 60), True, -1, -0.5, None, [NOW], 1e300, 10**19)],
    *[(sign(header(), raw(without(claims(), name), f'"{name}":{value}')), "payload-number")
      for name in ("exp", "nbf", "iat")
      for value in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 21, "9" * 5000)],
    # JSON of which there is one reading
    (sign(raw(header(), '"alg":"ES256"'), claims()), "header-duplicate-member"),
    (sign(raw(header(), '"x":{"a":1,"a":2}'), claims()), "header-duplicate-member"),
    (sign(header(), raw(claims(), '"sub":"alice"')), "payload-duplicate-member"),
    (sign(header(), raw(claims(), '"s\\u0075b":"bob"')), "payload-duplicate-member"),
    (sign(header(), raw(claims(), '"act":{"sub":"a","sub":"b"}')), "payload-duplicate-member"),
    (sign(header(x=nested(40)), claims()), "header-too-deep"),
    (sign(header(), claims(x=nested(40))), "payload-too-deep"),
    (sign(header(), b"[" * 6000), "payload-too-deep"),
    (sign(header(), b'{"x":' * 1000), "payload-too-deep"),
    (sign(header(), b'{"x":"' + b"\\" * 5001 + b'"}'), "payload-not-json"),
    (sign(header(), raw(claims(), '"x":"\\ud800"')), "payload-text"),
    (sign(header(), raw(claims(), '"x":"\ud800"')), "payload-text"),
    (sign(header(), b"\xef\xbb\xbf" + encode(claims())), "payload-not-json"),
    (sign(header(), encode(claims()).decode().encode("utf-16")), "payload-text"),
    (sign(header(), encode(claims()) + b"x"), "payload-not-json"),
    (sign(header(), encode(claims()).replace(b'"', b"'")), "payload-not-json"),
    (sign(header(), b""), "payload-not-json"),
    (sign(header(), [claims()]), "payload-not-an-object"),
    (sign([header()], claims()), "header-not-an-object"),
    (sign(header(x="a" * 2048), claims()), "header-too-large"),
    # compact serialization, and the one encoding of it
    (sign(header(), claims(x="a" * 8192)), "token-too-large"),
    ("a" * 8193, "token-too-large"),
    ("", "malformed-token"),
    (".", "malformed-token"),
    ("..", "header-not-json"),
    (VALID.rpartition(".")[0], "malformed-token"),
    (VALID + ".", "malformed-token"),
    (f"{VALID}.{VALID}", "malformed-token"),
    ("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AA.AA.AA.AA", "malformed-token"),
    (json.dumps(dict(zip(("protected", "payload", "signature"), VALID.split("."), strict=True))), "malformed-token"),
    (part(VALID, 2, non_canonical), "malformed-encoding"),
    *[(part(VALID, index, functools.partial(append, extra)), "malformed-encoding")
      for index in range(3) for extra in ("=", "==", " ", "\n", "\t", "+", "/", "é", "\uff21", "\u0661", "\ud800")],
    (" " + VALID, "malformed-encoding"),
    (part(VALID, 2, lambda s: s.replace(s[5], s[5] + "\n", 1)), "malformed-encoding"),
    (part(VALID, 2, lambda s: s[:-1]), "malformed-encoding"),
    # scope (RFC 6749 section 3.3)
    *[(sign(header(), claims(scope=scope)), "invalid-scope") for scope in
      ("add_order\tupdate_order", "add_order\u3000update_order", "add_order\u00a0x", " add_order", "add_order ",
       "add_order  x", "add_order\n", 'a"b', "a\\b", [["add_order"]], ["add_order", 7], ["add_order x"], [""],
       7, True, None, {"add_order": True}, " ".join(map(str, range(65))), list(map(str, range(65))), "s" * 129)],
    # who acts (RFC 8693 section 4.1)
    *[(sign(header(), claims(act=act)), "invalid-act") for act in NO_ACTORS],
    *[(sign(header(), claims(**{name: value})), f"invalid-{name}")
      for name in ("client_id", "preferred_username", "name", "jti") for value in (7, None, "", ["a"], "a\u0085")],
    *[(sign(header(), claims(roles=roles)), "invalid-roles") for roles in ("clerk", None, [1], [["a"]], ["a"] * 65)],
    # proof of possession (RFC 7800, RFC 8705)
    *[(sign(header(), claims(cnf=cnf)), "invalid-cnf") for cnf in (None, "x", [THUMBPRINT], 7)],
    *[(sign(header(), claims(cnf=cnf)), "binding-mismatch") for cnf in
      ({"x5t#S256": THUMBPRINT}, {}, {"jkt": "a"}, {"x5t#S256": None})],
]  # fmt: skip


@pytest.mark.parametrize(("forged", "code"), FORGED, ids=[f"{n}-{code}" for n, (_, code) in enumerate(FORGED)])
def test_a_token_changed_in_one_way_is_refused(forged: str, code: str) -> None:
    verify(VALID)
    assert refusal(forged) == code


def test_a_bound_token_is_good_over_its_certificate_only() -> None:
    bound = sign(header(), claims(cnf=binding.confirmation(THUMBPRINT)))
    assert verify(bound, THUMBPRINT).bound
    assert refusal(bound) == "binding-mismatch"
    assert refusal(bound, binding.thumbprint(b"another")) == "binding-mismatch"
    assert not verify(VALID, THUMBPRINT).bound


def test_the_principal_is_what_the_claims_say() -> None:
    act = {"sub": "client:gateway", "act": {"sub": "client:web", "iss": "x"}}
    body = claims(act=act, preferred_username="Alice", name="Alice L.", roles=["clerk"], jti="1", scope="b a")
    assert verify(sign(header(), body)) == Principal(
        iss=ISSUER,
        sub="alice",
        scopes=frozenset({"a", "b"}),
        client_id="gateway",
        actors=("client:gateway", "client:web"),
        name="Alice",
        full_name="Alice L.",
        roles=("clerk",),
        jti="1",
        expires_at=NOW + 60,
    )


def test_a_scope_map_gives_what_it_names_and_nothing_else() -> None:
    trust = TrustedIssuer(ISSUER, "order", ALGORITHMS, scopes={"orders.write": "add_order"})
    token = sign(header(), claims(scope="orders.write cancel_order"))
    assert verify(token, trust=trust).scopes == {"add_order"}


@pytest.mark.parametrize("algorithms", [("none",), ("HS256",), ("es256",), ()])
def test_an_issuer_cannot_be_trusted_with_an_unsafe_algorithm(algorithms: tuple[str, ...]) -> None:
    with pytest.raises(StartError):
        TrustedIssuer(ISSUER, "order", algorithms)


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
    "pem", [b"", b"x", PEM, jwk.ECKey.generate_key("P-384").as_pem(), b"-----BEGIN PRIVATE KEY-----"]
)
def test_what_is_no_signing_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        SigningKey.from_pem(pem)


@given(st.binary(max_size=300))
def test_any_bytes_have_one_encoding(data: bytes) -> None:
    text = encode_base64url(data)
    assert decode_base64url(text) == data
    assert text == urlsafe_b64encode(data).decode().rstrip("=")


@given(st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:0123456789eE.-\\utrfalsn ').map(str.encode)))
def test_decoding_any_bytes_gives_an_object_or_is_refused(data: bytes) -> None:
    with suppress(Refused):
        assert isinstance(decode_object(data, 300), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["iss", "sub", "aud", "exp", "nbf", "iat", "scope", "cnf", "act", "roles", "jti", "name", "client_id"]


@given(st.sampled_from(NAMES), JSON)
def test_any_value_of_any_claim_is_accepted_or_unauthenticated(name: str, value: Any) -> None:
    body = json.dumps(claims(**{name: value}), ensure_ascii=True).encode()
    with suppress(Unauthenticated):
        assert verify(sign(header(), body)).iss == ISSUER


class Clock:
    time = NOW

    def now(self) -> float:
        return self.time


class Counting(FixedKeys):
    """Keys that count how often they verify, and can be taken away."""

    def __init__(self, *kids: str) -> None:
        super().__init__(KEYS[kid] for kid in kids)
        self.asked = 0

    async def find(self, kid: str) -> VerificationKey:
        self.asked += 1
        return await super().find(kid)

    def forget(self) -> None:
        self._keys.clear()


PEER = Peer("gateway", "spiffe://example/gateway", THUMBPRINT)


async def test_what_is_remembered_is_still_checked_on_every_use() -> None:
    clock = Clock()
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], clock)
    bound = sign(header(), claims(cnf=binding.confirmation(THUMBPRINT)))
    for _ in range(2):
        assert (await verifier.verify(bound, PEER)).sub == "alice"
        with pytest.raises(Unauthenticated, match="binding-mismatch"):
            await verifier.verify(bound, None)
        with pytest.raises(Unauthenticated, match="binding-mismatch"):
            await verifier.verify(bound, Peer("gateway", None, "another"))
    clock.time = NOW + 60
    with pytest.raises(Unauthenticated, match="expired"):
        await verifier.verify(bound, PEER)


async def test_what_is_remembered_needs_no_second_signature_check_and_dies_with_its_key() -> None:
    keys = Counting("ES256")
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    assert await verifier.verify(VALID) is await verifier.verify(VALID)
    assert keys.asked == 0
    keys.forget()
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(VALID)
    assert keys.asked == 1


async def test_a_key_that_kept_its_kid_but_changed_ends_what_it_proved() -> None:
    keys = Counting("ES256")
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    await verifier.verify(VALID)
    member = STRANGER.as_dict(private=False) | {"kid": "ES256"}
    keys._keys = jwk_set.read_key_set(document(member), ALGORITHMS)
    with pytest.raises(Unauthenticated, match="bad-signature"):
        await verifier.verify(VALID)


async def test_the_key_of_one_issuer_never_verifies_the_token_of_another() -> None:
    other = TrustedIssuer("https://other.example", "order", ALGORITHMS)
    verifier = TokenVerifier([(TRUST, Counting("ES256")), (other, Counting("RS256"))], Clock())
    await verifier.verify(VALID)
    await verifier.verify(sign(header("RS256"), claims(iss=other.issuer), algorithm="RS256"))
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(sign(header(), claims(iss=other.issuer)))
    with pytest.raises(Unauthenticated, match="unknown-key"):
        await verifier.verify(sign(header("RS256"), claims(), algorithm="RS256"))


async def test_a_token_that_no_key_could_save_asks_for_none() -> None:
    keys = Counting()
    verifier = TokenVerifier([(TRUST, keys)], Clock())
    for head in (header(alg="none"), header(typ="JWT"), header(crit=["x"])):
        with pytest.raises(Unauthenticated):
            await verifier.verify(sign(head, claims()))
    with pytest.raises(Unauthenticated, match="no-token"):
        await verifier.verify(None)
    assert keys.asked == 0


async def test_memory_of_tokens_is_bounded_and_keeps_those_in_use() -> None:
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], Clock())
    await verifier.verify(VALID)
    for number in range(CACHE_SIZE + 5):
        await verifier.verify(sign(header(), claims(jti=str(number))))
        if number % 100 == 0:
            await verifier.verify(VALID)
    assert len(verifier._proven) == CACHE_SIZE
    assert hashlib.sha256(VALID.encode()).digest() in verifier._proven


async def test_a_refused_token_is_not_remembered() -> None:
    verifier = TokenVerifier([(TRUST, Counting("ES256"))], Clock())
    for forged, _ in FORGED[:20]:
        with pytest.raises(Unauthenticated):
            await verifier.verify(forged)
    assert not verifier._proven


async def test_an_issuer_without_keys_is_not_the_token_s_fault() -> None:
    class Away(FixedKeys):
        async def find(self, kid: str) -> VerificationKey:
            raise Unavailable("keys-unavailable", kid)

    with pytest.raises(Unavailable):
        await TokenVerifier([(TRUST, Away([]))], Clock()).verify(VALID)


def test_an_issuer_is_configured_once() -> None:
    with pytest.raises(StartError, match="twice"):
        TokenVerifier([(TRUST, FixedKeys([])), (TRUST, FixedKeys([]))], Clock())
