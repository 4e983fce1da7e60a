"""Every rule of the verifier, one row each: a token that was just accepted, changed in one way, is refused."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.security import binding, tokens
from ordermgmt.security.jose_json import decode_base64url, encode_base64url
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import TrustedIssuer
from tests.unit.jose_setup import (
    ALGORITHMS,
    ISSUER,
    KEYS,
    NOW,
    PRIVATE,
    STRANGER,
    THUMBPRINT,
    TRUST,
    VALID,
    claims,
    encode,
    header,
    public,
    sign,
    without,
)


def verify(token: str, thumbprint: str | None = None, trust: TrustedIssuer = TRUST, now: float = NOW) -> Principal:
    return tokens.verify(token, KEYS, trust, now, thumbprint)


def refusal(token: str, thumbprint: str | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verify(token, thumbprint)
    return caught.value.code


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
    (part(VALID, 2, lambda s: encode_base64url(decode_base64url(s)[:32] + b"\0" + decode_base64url(s)[32:])),
     "bad-signature"),
    (part(VALID, 1, lambda _: encode_base64url(encode(claims(sub="bob")))), "bad-signature"),
    (sign(header(), claims(), STRANGER), "bad-signature"),
    # keys come from the issuer
    (sign(header(kid="other"), claims()), "unknown-key"),
    (sign(without(header(), "kid"), claims()), "missing-kid"),
    *[(sign(header(kid=kid), claims()), "invalid-kid") for kid in ("", 7, None, ["ES256"], "k" * 257)],
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
    *[(sign(header(), claims(cnf=cnf)), "binding-unknown") for cnf in ({}, {"jkt": "a"})],
    *[(sign(header(), claims(cnf={"x5t#S256": value})), "binding-without-certificate") for value in (THUMBPRINT, None)],
]  # fmt: skip


@pytest.mark.parametrize(("forged", "code"), FORGED, ids=[f"{n}-{code}" for n, (_, code) in enumerate(FORGED)])
def test_a_token_changed_in_one_way_is_refused(forged: str, code: str) -> None:
    verify(VALID)
    assert refusal(forged) == code


def test_a_bound_token_is_good_over_its_certificate_only() -> None:
    bound = sign(header(), claims(cnf=binding.confirmation(THUMBPRINT)))
    assert verify(bound, THUMBPRINT).bound
    assert refusal(bound) == "binding-without-certificate"
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
        issued_at=NOW,
    )


def test_who_acted_before_gives_nothing() -> None:
    """RFC 8693 section 4.1: all that differs is whom the history names."""
    plain = verify(sign(header(), claims()))
    acted = verify(sign(header(), claims(act={"sub": "client:web", "act": {"sub": "client:admin-app"}})))
    assert acted.actors == ("client:web", "client:admin-app")
    assert msgspec.structs.replace(acted, actors=()) == plain


def test_a_scope_map_gives_what_it_names_and_nothing_else() -> None:
    trust = TrustedIssuer(ISSUER, "order", ALGORITHMS, scopes={"orders.write": "add_order"})
    token = sign(header(), claims(scope="orders.write cancel_order"))
    assert verify(token, trust=trust).scopes == {"add_order"}


@pytest.mark.parametrize("algorithms", [("none",), ("HS256",), ("es256",), ()])
def test_an_issuer_cannot_be_trusted_with_an_unsafe_algorithm(algorithms: tuple[str, ...]) -> None:
    with pytest.raises(StartError):
        TrustedIssuer(ISSUER, "order", algorithms)


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
