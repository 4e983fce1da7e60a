"""What is not refused: every variation that the rules allow, so that none of them refuses too much."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.unforgeable.claims import SKEW, moved, nested_actors
from tests.contract.unforgeable.forging import DROP, Forge, Token, claims, claims_text, header, header_text
from tests.contract.unforgeable.requests import with_field
from tests.contract.unforgeable.signatures import high_s

__all__ = ["BASES", "rows"]

BASES = ("sts", "es", "rs", "ps", "ed", "rival")


def rows() -> Iterator[tuple[str, str, Forge]]:
    """Yield name, base and the change."""
    for base in BASES:
        yield f"a token of {base}", base, Token.text
    # RFC 7518 section 3.4 asks for no low s, and every other signature of an issuer has a high one.
    yield "the other s of the same signature", "sts", high_s
    yield "the other s of the same signature of ID", "es", high_s
    for name, forge in (_sent() | _heads() | _bodies()).items():
        yield name, "sts", forge
    yield "scope of ID as a list", "es", claims(scope=["orders.write", "orders.unknown"])
    yield "typ application/JWT", "rival", header(typ="application/JWT")
    yield "typ jwt", "rival", header(typ="jwt")


def _sent() -> dict[str, Forge]:
    schemes = ("bearer", "BEARER", "bEaReR", "Bearer  ")
    found = {f"scheme {scheme!r}": with_field(f"authorization: {scheme} {{}}") for scheme in schemes}
    found["the field in capitals"] = with_field("AUTHORIZATION: Bearer {}")
    found["a bad token in a cookie, too"] = with_field("authorization: Bearer {}", "cookie: access_token=AAAA")
    return found


def _heads() -> dict[str, Forge]:
    found = {f"typ {typ}": header(typ=typ) for typ in ("AT+JWT", "application/at+jwt", "Application/at+JWT")}
    return found | {
        "unknown header members": header(unknown={"nested": ["member"]}, x5t="abc", cty="JWT"),
        "b64 true": header(b64=True),
        "white space in the header": header_text(lambda members: b" " + members.replace(b",", b" ,\r\n\t")),
        "escapes in the header": header_text(lambda members: members.replace(b'"alg"', b'"\\u0061lg"')),
    }


def _bodies() -> dict[str, Forge]:
    return {
        "scope as a list": claims(scope=["add_order", "update_order"]),
        "scope with others": claims(scope="update_order add_order zebra"),
        "scope twice": claims(scope="add_order add_order"),
        "aud as a list": claims(aud=["inventory", "order"]),
        "aud as a list of one": claims(aud=["order"]),
        "exp with a fraction": moved("exp", 20.5),
        "exp almost now": moved("exp", 2),
        "exp in the year 9999": claims(exp=253402300799),
        "nbf ahead by the skew": moved("nbf", SKEW - 1),
        "iat ahead by the skew": moved("iat", SKEW - 1),
        "nbf long ago": claims(nbf=0),
        "without nbf": claims(nbf=DROP),
        "without iat": claims(iat=DROP),
        "without jti and client_id": claims(jti=DROP, client_id=DROP),
        "four actors": claims(act=nested_actors(4)),
        "a name in Japanese": claims(name="\u5c71\u7530\u3000\u592a\u90ce", preferred_username="\U0001f600"),
        "unknown claims": claims(unknown={"a": [1, 2.5, None, {"b": True}]}),
        "claims of eight levels": claims_text(lambda body: body[:-1] + b',"x":' + b"[" * 7 + b"]" * 7 + b"}"),
        "brackets in a string": claims(unknown="[" * 20 + '"' + "{" * 20),
        "white space in the claims": claims_text(lambda body: b"\n" + body.replace(b",", b",  ") + b"\n"),
        "sub of 256 characters": claims(sub="a" * 256),
    }
