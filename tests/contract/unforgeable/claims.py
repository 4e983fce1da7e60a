"""Rows about what a token says: RFC 7519 section 4.1, RFC 8725 sections 3.8 to 3.10, RFC 9068, RFC 8693, RFC 8705."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.contract.unforgeable.forging import DROP, Forge, Row, Token, claims, claims_text

__all__ = ["nested_actors", "rows", "times"]

THUMBPRINT = "A" * 43
SKEW = 30


def rows() -> list[Row]:
    return [*_issuer(), *_audience(), *_times(), *_subject(), *_scopes(), *_actors(), *_binding(), *_texts()]


def _issuer() -> Iterator[Row]:
    yield Row("iss missing", claims(iss=DROP), "missing-iss")
    for change in ("{}/", "{} ", " {}", "{}#", "{}?", "{}\u200b"):
        yield Row(f"iss {change.format('the STS')!a}", _issued(change), "unknown-issuer")
    yield Row("iss in capitals", lambda token: _with(token, iss=token.claims["iss"].upper()), "unknown-issuer")
    for iss in ("wso2", "order", "https://localhost", "https://localhost:9446", "http://localhost:9445", "None"):
        yield Row(f"iss {iss}", claims(iss=iss), "unknown-issuer")
    yield Row("iss in a list", lambda token: _with(token, iss=[token.claims["iss"]]), "invalid-iss")
    yield Row("iss in an object", lambda token: _with(token, iss={token.claims["iss"]: 1}), "invalid-iss")
    yield Row("iss with a line feed", _issued("{}\n"), "invalid-iss")
    for value in (None, "", 7, True, "i" * 257):
        yield Row(f"iss is {value!r:.20}", claims(iss=value), "invalid-iss")


def _with(token: Token, **changes: Any) -> str:
    return replace(token, claims={**token.claims, **changes}).text()


def _issued(change: str) -> Forge:
    return lambda token: _with(token, iss=change.format(token.claims["iss"]))


def _audience() -> Iterator[Row]:
    yield Row("aud missing", claims(aud=DROP), "missing-aud")
    others: list[Any] = ["inventory", "gateway", "orders", "orde", "rder", "Order", "order ", " order", "order/",
                         "order,x", "order inventory", "\uff4frder", "*", [], ["inventory", "gateway"],
                         ["orders", "xorder"], ["o", "r", "d", "e", "r"]]  # fmt: skip
    for value in others:
        yield Row(f"aud is {value!a}", claims(aud=value), "wrong-audience")
    none: list[Any] = [None, "", 7, True, {"order": 1}, [["order"]], ["order", 7], ["order", None], ["order", ""],
                       [{"aud": "order"}], ["order\0"], ["order"] * 65, "order\n"]  # fmt: skip
    for value in none:
        yield Row(f"aud is {value!a:.40}", claims(aud=value), "invalid-aud")
    yield Row("aud is the STS's name of us", claims(aud="order"), "wrong-audience", "es")


def times(name: str) -> dict[str, Any]:
    """Return values that are no time at all."""
    return {
        "null": None,
        "text": "1767225600",
        "empty text": "",
        "a date": "2026-01-01T00:00:00Z",
        "true": True,
        "false": False,
        "negative": -1,
        "a little negative": -0.5,
        "in a list": [1767225600],
        "in an object": {name: 1767225600},
        "milliseconds": 1767225600000,
        "1e308": 1e308,
        "2**64": 2**64,
    }


NOT_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", f"{10**400}", f"-{10**400}", "9" * 21)


def _times() -> Iterator[Row]:
    yield Row("exp missing", claims(exp=DROP), "missing-exp")
    for name in ("exp", "nbf", "iat"):
        for what, value in times(name).items():
            yield Row(f"{name} is {what}", claims(**{name: value}), f"invalid-{name}")
        for literal in NOT_NUMBERS:
            yield Row(f"{name} is {literal:.10}", _literal(name, literal), "payload-number")
    for seconds in (0, -0.001, -1, -29, -31, -3600):
        yield Row(f"exp {seconds} s from now", moved("exp", seconds), "expired")
    yield Row("exp in 1970", claims(exp=0), "expired")
    for name, code in (("nbf", "not-yet-valid"), ("iat", "issued-in-future")):
        for seconds in (SKEW + 0.001, SKEW + 1, 3600):
            yield Row(f"{name} {seconds} s from now", moved(name, seconds), code)


def moved(name: str, seconds: float) -> Forge:
    """Set a time so far from now; a token is issued now."""
    return lambda token: _with(token, **{name: token.claims["iat"] + seconds})


def _literal(name: str, literal: str) -> Forge:
    def forge(token: Token) -> str:
        return str(claims_text(lambda members: members.replace(b'"@"', literal.encode()))(marked(token, name)))

    return forge


def marked(token: Token, name: str) -> Token:
    return replace(token, claims={**token.claims, name: "@"})


def _subject() -> Iterator[Row]:
    yield Row("sub missing", claims(sub=DROP), "missing-sub")
    for value in (
        None,
        "",
        7,
        True,
        ["alice"],
        {"sub": "alice"},
        "a" * 257,
        "a\0",
        "a\nb",
        "a\x1b[2J",
        "a\x7f",
        "a\u0085",
    ):
        yield Row(f"sub is {value!a:.20}", claims(sub=value), "invalid-sub")


def _scopes() -> Iterator[Row]:
    """RFC 6749 section 3.3: what is not a scope is refused, and what is another scope allows nothing."""
    others: list[Any] = ["", [], "xadd_order", "add_orderx", "add_orders", "ADD_ORDER", "Add_Order", "add_order.",
                         "add-order", "add_order,update_order", "add_order;", "add*", "*", "orders.write",
                         "cancel_order read_all_orders", "'add_order'", "add_order/", ["xadd_order"], ["add_order,x"],
                         ["update_order"], ["a", "d", "d"]]  # fmt: skip
    for value in others:
        yield Row(f"scope is {value!r}", claims(scope=value), "insufficient-scope", status=403)
    yield Row("scope missing", claims(scope=DROP), "insufficient-scope", status=403)
    yield Row("scp instead", lambda token: _with(token, scope="", scp="add_order"), "insufficient-scope", status=403)
    for value in ("add_order", "orders.writex", "orders", "orders.change", ["add_order"]):
        yield Row(f"scope of ID is {value!r}", claims(scope=value), "insufficient-scope", "es", status=403)
    strange: list[Any] = [
        *(f"add_order{separator}update_order" for separator in
          ("\t", "\n", "\r", "\v", "\f", "\0", "  ", "\u00a0", "\u3000", "\u2003", "\u2028", "\u200b", "\ufeff")),
        " add_order", "add_order ", "add_order\n", 'add_order"', "add_order\\", "add_\u00f6rder", "\uff41dd_order",
        "add_order" + "x" * 120, " ".join(["add_order"] * 65), ["add_order"] * 65, ["add_order x"], ["add_order", ""],
        [["add_order"]], ["add_order", 7], ["add_order", None], {"add_order": True}, None, True, 7,
    ]  # fmt: skip
    for value in strange:
        yield Row(f"scope is {value!a:.60}", claims(scope=value), "invalid-scope")


def nested_actors(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "client:actor"}
    for _ in range(depth - 1):
        act = {"sub": "client:actor", "act": act}
    return act


def _actors() -> Iterator[Row]:
    """RFC 8693 section 4.1."""
    strange: list[Any] = [None, "gateway", 7, True, [], [{"sub": "a"}], {}, {"sub": ""}, {"sub": None}, {"sub": 7},
                          {"sub": ["a"]}, {"sub": "a\n"}, {"iss": "a"}, {"sub": "a", "act": None},
                          {"sub": "a", "act": "b"}, {"sub": "a", "act": {}}]  # fmt: skip
    for value in strange:
        yield Row(f"act is {value!r}", claims(act=value), "invalid-act")
    yield Row("act of five", claims(act=nested_actors(5)), "invalid-act")
    yield Row("act of nine", claims(act=nested_actors(9)), "payload-too-deep")


def _binding() -> Iterator[Row]:
    """RFC 7800, RFC 8705 section 3: this listener asks for no certificate, so no bound token is good here."""
    yield Row("bound to a certificate", claims(cnf={"x5t#S256": THUMBPRINT}), "binding-without-certificate")
    kinds: list[dict[str, Any]] = [{}, {"jkt": THUMBPRINT}, {"kid": "a"}, {"jwk": {"kty": "EC"}}, {"x5t": THUMBPRINT},
                                   {"x5t#s256": THUMBPRINT}]  # fmt: skip
    for kind in kinds:
        yield Row(f"bound to {kind!r:.40}", claims(cnf=kind), "binding-unknown")
    for members in ({"x5t#S256": None}, {"x5t#S256": ""}, {"x5t#S256": [THUMBPRINT]}, {"x5t#S256": True}):
        yield Row(f"bound to {members!r:.40}", claims(cnf=members), "binding-without-certificate")
    others: list[Any] = [None, "", THUMBPRINT, 7, False, [], [{"x5t#S256": THUMBPRINT}]]
    for value in others:
        yield Row(f"cnf is {value!r:.40}", claims(cnf=value), "invalid-cnf")


def _texts() -> Iterator[Row]:
    texts: list[Any] = [None, "", 7, ["a"], {"a": 1}, "a\0", "a" * 257]
    for name in ("client_id", "jti", "sid", "preferred_username", "name"):
        for value in texts:
            yield Row(f"{name} is {value!r:.20}", claims(**{name: value}), f"invalid-{name}")
    lists: list[Any] = [None, "clerk", 7, [7], [["clerk"]], [""], ["a\0"], ["a"] * 65]
    for value in lists:
        for name in ("roles", "revocable_by"):
            yield Row(f"{name} is {value!r:.20}", claims(**{name: value}), f"invalid-{name}")
