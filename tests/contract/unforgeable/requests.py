"""Rows about how a token is sent: RFC 6750 sections 2 and 3, RFC 9110 sections 5.3 and 11.6.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.contract.unforgeable.forging import Forge, Row, Sent, Token

__all__ = ["rows", "with_field"]


def rows() -> list[Row]:
    return [*_elsewhere(), *_schemes(), *_several(), *_other_bytes()]


def with_field(*formats: str) -> Forge:
    """Send header lines in which {} is the token."""

    def forge(token: Token) -> Sent:
        text = token.text()  # once: every signature is another
        return Sent(tuple(line.replace("{}", text).encode() for line in formats))

    return forge


def _elsewhere() -> Iterator[Row]:
    """Only the Authorization field carries a token: not the query, the body, a cookie or another field."""
    yield Row("no token", with_field(), "no-token")
    for name in ("access_token", "token", "authorization", "bearer_token"):
        yield Row(f"{name} in the query", _in_query(name), "no-token")
        yield Row(f"{name} in the body", _in_body(name), "no-token")
    for line in ("cookie: access_token={}", "cookie: Authorization=Bearer {}", "proxy-authorization: Bearer {}",
                 "x-access-token: {}", "x-authorization: Bearer {}", "authorization-: Bearer {}", "access_token: {}",
                 "authentication: Bearer {}", "x-forwarded-authorization: Bearer {}", "dpop: {}",
                 "sec-websocket-protocol: bearer, {}"):  # fmt: skip
        yield Row(f"token in {line.removesuffix('{}')!r}", with_field(line), "no-token")


def _in_query(name: str) -> Forge:
    return lambda token: Sent((), query=f"?{name}={token.text()}")


def _in_body(name: str) -> Forge:
    return lambda token: Sent((), members={name: token.text()})


def _schemes() -> Iterator[Row]:
    for scheme in (
        "Basic",
        "DPoP",
        "Token",
        "JWT",
        "MAC",
        "Bearer_",
        "xBearer",
        "Bearer,",
        "Bearer:",
        "b\u0435arer",
        "Bear",
    ):
        yield Row(f"scheme {scheme!a}", with_field(f"authorization: {scheme} {{}}"), "other-scheme")
    for name, line in {
        "no scheme": "authorization: {}",
        "a tab for the space": "authorization: Bearer\t{}",
        "nothing at all": "authorization:",
        "two schemes": "authorization: Basic Bearer {}",
    }.items():
        yield Row(f"credentials with {name}", with_field(line), "other-scheme")
    for name, line in {
        "no token": "authorization: Bearer",
        "the scheme twice": "authorization: Bearer Bearer {}",
        "a space inside": "authorization: Bearer {} x",
        "quotes": 'authorization: Bearer "{}"',
        "a parameter": 'authorization: Bearer token="{}"',
        "a comma after": "authorization: Bearer {},",
        "a comma before": "authorization: Bearer ,{}",
        "a semicolon": "authorization: Bearer {};",
        "nothing but padding": "authorization: Bearer ==",
    }.items():
        yield Row(f"credentials with {name}", with_field(line), "malformed-credentials")


def _several() -> Iterator[Row]:
    good, bad = "authorization: Bearer {}", "authorization: Bearer AAAA"
    for name, lines in {
        "the same twice": (good, good),
        "a bad one after": (good, bad),
        "a bad one before": (bad, good),
        "another scheme after": (good, "authorization: Basic YTpi"),
        "another scheme before": ("authorization: Basic YTpi", good),
        "an empty one": (good, "authorization:"),
        "another spelling": (good, "AUTHORIZATION: Bearer {}"),
    }.items():
        yield Row(f"two fields: {name}", with_field(*lines), "several-credentials")
    for rest in (", Bearer {}", ",Bearer {}", ", Basic YTpi", ", Bearer AAAA"):
        line = f"{good}{rest}"
        yield Row(f"one field: Bearer{rest[:-2].rstrip()}", with_field(line), "malformed-credentials")
    yield Row("one field: Basic, Bearer", with_field("authorization: Basic YTpi, Bearer {}"), "other-scheme")


def _other_bytes() -> Iterator[Row]:
    """What is not even a field never gets to the guard (RFC 9110 section 5.5, RFC 9112 section 5)."""
    raw: dict[str, tuple[Callable[[bytes], bytes], str, int]] = {
        "0xE9": (lambda line: line + b"\xe9", "malformed-credentials", 401),
        "0x85": (lambda line: line + b"\x85", "malformed-credentials", 401),
        "0xA0 for the space": (lambda line: line.replace(b"Bearer ", b"Bearer\xa0"), "other-scheme", 401),
        "a space before the colon": (lambda line: line.replace(b":", b" :", 1), "", 400),
        "a NUL": (lambda line: line + b"\0", "", 400),
        "a NUL before": (lambda line: line.replace(b"Bearer ", b"Bearer \0"), "", 400),
        "a folded line": (lambda line: line.replace(b"Bearer ", b"Bearer\r\n "), "", 400),
        "a bare line feed": (lambda line: line + b"\nx: y", "", 400),
        "a bare carriage return": (lambda line: line + b"\rx", "", 400),
        "16 KiB": (lambda line: line + b"A" * 16384, "", 431),
    }
    for name, (change, code, status) in raw.items():
        yield Row(f"field with {name}", _bytes(change), code, status=status)


def _bytes(change: Callable[[bytes], bytes]) -> Forge:
    return lambda token: Sent((change(b"authorization: Bearer " + token.text().encode()),))
