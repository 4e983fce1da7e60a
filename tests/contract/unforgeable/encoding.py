"""Rows about how a token is written: RFC 7515 sections 2, 4 and 7, RFC 7519 section 4, RFC 8725 sections 2 and 3.11."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.unforgeable.forging import (
    DROP,
    Forge,
    Row,
    Token,
    b64,
    claims,
    claims_text,
    header,
    header_text,
    payload,
    text,
)

__all__ = ["rows"]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def rows() -> list[Row]:
    return [*_extensions(), *_types(), *_duplicates(), *_json(), *_sizes(), *_serializations(), *_base64url()]


def _extensions() -> Iterator[Row]:
    critical: list[Any] = [["exp"], ["unknown"], ["b64"], ["alg"], [], "exp", None, {}]
    for value in critical:
        yield Row(f"crit is {value!r}", header(crit=value), "crit-refused")
    for value in (False, None, 0, "true", 1):
        yield Row(f"b64 is {value!r}", header(b64=value), "unencoded-payload")
    yield Row("b64 is false, and critical", header(b64=False, crit=["b64"]), "crit-refused")


def _types() -> Iterator[Row]:
    """RFC 8725 section 3.11, RFC 9068 section 4."""
    yield Row("typ missing", header(typ=DROP), "wrong-type")
    strange = ("JWT", "jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "", "at+jwt ", " at+jwt", "at+jwt;v=1", "at",
               "xat+jwt", "at+jwts", "text/at+jwt", "application/application/at+jwt", "application/", "at\uff0bjwt",
               None, 7, True, ["at+jwt"], {"typ": "at+jwt"})  # fmt: skip
    for value in strange:
        yield Row(f"typ is {value!a}", header(typ=value), "wrong-type")
    yield Row("typ at+jwt where JWT is meant", header(typ="at+jwt"), "wrong-type", "rival")


def added(extra: str) -> Callable[[bytes], bytes]:
    """Add a member that json.dumps cannot say, at the end of an object."""
    return lambda members: members[:-1] + b"," + extra.encode("utf-8", "surrogatepass") + b"}"


def first(extra: str) -> Callable[[bytes], bytes]:
    return lambda members: b"{" + extra.encode() + b"," + members[1:]


def _duplicates() -> Iterator[Row]:
    """RFC 7515 section 4, RFC 7519 section 4: a name occurs once, however it is spelled."""
    for member in ('"alg":"ES256"', '"alg":"none"', '"\\u0061lg":"ES256"', '"kid":"es"', '"x":1,"x":1',
                   '"x":{"a":1,"\\u0061":1}', '"":1,"":1'):  # fmt: skip
        yield Row(f"header with {member}", header_text(added(member)), "header-duplicate-member")
    yield Row("header with alg none first", header_text(first('"alg":"none"')), "header-duplicate-member")
    for member in ('"sub":"client:admin-app"', '"s\\u0075b":"client:admin-app"', '"scope":"read_all_orders"',
                   '"exp":9999999999', '"\\u0065xp":9999999999', '"act":{"sub":"a","sub":"b"}', '"x":[{"a":1,"a":2}]',
                   '"aud":"order","\\u0061ud":"order"'):  # fmt: skip
        yield Row(f"claims with {member}", claims_text(added(member)), "payload-duplicate-member")
    yield Row("claims with another sub first", claims_text(first('"sub":"a"')), "payload-duplicate-member")


def _json() -> Iterator[Row]:
    parts: list[tuple[str, Callable[[Callable[[bytes], bytes]], Forge]]] = [
        ("header", header_text),
        ("payload", claims_text),
    ]
    broken: dict[str, tuple[Callable[[bytes], bytes], str]] = {
        "a BOM": (lambda text: b"\xef\xbb\xbf" + text, "not-json"),
        "UTF-16": (lambda text: text.decode().encode("utf-16"), "text"),
        "invalid UTF-8": (added('"x":"@"'), "text"),
        "an overlong slash": (lambda text: text.replace(b":", b':"\xc0\xaf",', 1), "text"),
        "a lone surrogate": (added('"x":"\ud800"'), "text"),
        "an escaped lone surrogate": (added('"x":"\\ud800"'), "text"),
        "an escaped lone surrogate in a name": (added('"\\udc00":1'), "text"),
        "a NUL": (lambda text: text + b"\0", "not-json"),
        "a NUL inside": (added('"x":"\0"'), "not-json"),
        "a line feed in a string": (added('"x":"\n"'), "not-json"),
        "U+00E9 outside of strings": (lambda text: text + "\u00e9".encode(), "not-json"),
        "U+3000 for a space": (lambda text: text[:-1] + "\u3000}".encode(), "not-json"),
        "fullwidth quotes": (lambda text: text.replace(b'"', "\uff02".encode()), "not-json"),
        "single quotes": (lambda text: text.replace(b'"', b"'"), "not-json"),
        "a trailing comma": (lambda text: text[:-1] + b",}", "not-json"),
        "a comment": (lambda text: text + b"/**/", "not-json"),
        "two objects": (lambda text: text * 2, "not-json"),
        "half an object": (lambda text: text[: len(text) // 2], "not-json"),
        "nothing": (lambda _: b"", "not-json"),
        "backslashes": (added('"x":"' + "\\" * 501 + '"'), "not-json"),
        "a list": (lambda text: b"[" + text + b"]", "not-an-object"),
        "a string": (lambda text: json.dumps(text.decode()).encode(), "not-an-object"),
        "a number": (lambda _: b"7", "not-an-object"),
        "null": (lambda _: b"null", "not-an-object"),
        "NaN": (added('"x":NaN'), "number"),
        "-Infinity": (added('"x":-Infinity'), "number"),
        "1e999": (added('"x":1e999'), "number"),
        "an integer of 400 digits": (added(f'"x":{10**400}'), "number"),
        "nine levels": (added('"x":' + "[" * 8 + "]" * 8), "too-deep"),
        "300 open brackets": (added('"x":' + "[" * 300), "too-deep"),
        "300 objects": (added('"x":' + '{"a":' * 300 + "1" + "}" * 300), "too-deep"),
        "brackets behind an escaped quote": (added('"x":"\\"","y":' + "[" * 9 + "]" * 9), "too-deep"),
    }
    for part, change in parts:
        for name, (broken_text, reason) in broken.items():
            made = change(_invalid if name == "invalid UTF-8" else broken_text)
            yield Row(f"{part} with {name}", made, f"{part}-{reason}")


def _invalid(members: bytes) -> bytes:
    return members[:-1] + b',"x":"\xe9"}'


def _sizes() -> Iterator[Row]:
    yield Row("header of 2 KiB and a byte", header_text(_padded(2049)), "header-too-large")
    yield Row("token of 8 KiB and a character", _long(8193), "token-too-large")
    yield Row("token of 8 KiB and much", claims(x="a" * 6300), "token-too-large")
    yield Row("credentials of 9 KiB", text(lambda _: "a" * 9000), "token-too-large")
    yield Row("claims that are all brackets", payload(b"[" * 5800), "payload-too-deep")


def _padded(size: int) -> Callable[[bytes], bytes]:
    return lambda members: added(f'"x":"{"a" * (size - len(members) - 7)}"')(members)


def _long(size: int) -> Forge:
    """Make a signature so long that the token has this size."""
    return text(lambda token: token + "A" * (size - len(token)))


def _serializations() -> Iterator[Row]:
    """RFC 7515 section 7: three parts, and nothing else."""
    for name, change in {
        "without a signature": lambda token: token.rpartition(".")[0],
        "with a dot more": lambda token: f"{token}.",
        "with a fourth part": lambda token: token + ".AAAA",
        "twice": lambda token: f"{token}.{token}",
        "a JWE": lambda _: "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ" + ".AAAA" * 4,
        "a JWE around it": lambda token: token + ".AAAA.AAAA",
        "one dot": lambda _: ".",
        "opaque": lambda _: "omt_" + "A" * 43,
    }.items():
        yield Row(f"token {name}", text(change), "malformed-token")
    yield Row("token of two dots", text(lambda _: ".."), "header-not-json")
    yield Row("token without a header", text(lambda token: token[token.index(".") :]), "header-not-json")
    yield Row("token with half a byte for a header", text(lambda _: "A.."), "malformed-encoding")
    for name, make in (("flattened", _flattened), ("general", _general)):
        yield Row(f"token in the {name} JSON serialization", text(make), "malformed-credentials")
        yield Row(f"token in the {name} JSON serialization, encoded", text(_encoded(make)), "malformed-token")


def _members(token: str) -> dict[str, Any]:
    return dict(zip(("protected", "payload", "signature"), token.split("."), strict=True))


def _flattened(token: str) -> str:
    return json.dumps(_members(token), separators=(",", ":"))


def _general(token: str) -> str:
    members = _members(token)
    general = {"payload": members.pop("payload"), "signatures": [members]}
    return json.dumps(general, separators=(",", ":"))


def _encoded(make: Callable[[str], str]) -> Callable[[str], str]:
    return lambda token: b64(make(token).encode())


def part(index: int, change: Callable[[str], str]) -> Forge:
    def forge(token: Token) -> str:
        parts = token.text().split(".")
        parts[index] = change(parts[index])
        return ".".join(parts)

    return forge


def _base64url() -> Iterator[Row]:
    """RFC 7515 section 2: one encoding of each value."""
    for index, name in enumerate(("header", "claims", "signature")):
        code = "malformed-encoding" if index == 2 else "malformed-credentials"
        yield Row(f"{name} padded", part(index, lambda text: text + "="), code)
        yield Row(f"{name} padded twice", part(index, lambda text: text + "=="), code)
        yield Row(f"{name} with a plus", part(index, lambda text: text[:4] + "+" + text[5:]), "malformed-encoding")
        yield Row(f"{name} with a slash", part(index, lambda text: text[:4] + "/" + text[5:]), "malformed-encoding")
        yield Row(f"{name} with a tilde", part(index, lambda text: text[:4] + "~" + text[5:]), "malformed-encoding")
        for character in ("\u00e9", "\uff21", "\ufeff", "\u0661", "\ud800", " ", "\t", '"', ",", "%41"):
            changed = part(index, _inserted(character))
            yield Row(f"{name} with {character!a}", changed, "malformed-credentials")
        for character in ("\0", "\n", "\r", "\r\n ", "\x7f"):
            yield Row(f"{name} with {character!a}", part(index, _inserted(character)), "", status=400)
    yield Row("signature with bits left over", part(2, _left_over), "malformed-encoding")
    yield Row("signature of a character less", part(2, lambda text: text[:-1]), "malformed-encoding")
    yield Row("signature of a character more", part(2, lambda text: text + "AAA"), "malformed-encoding")
    yield Row("signature in the standard alphabet", _standard, "malformed-encoding")


def _inserted(character: str) -> Callable[[str], str]:
    return lambda text: text[:5] + character + text[5:]


def _left_over(text: str) -> str:
    """Set a bit of the last character that decodes to nothing: 86 characters hold 516 bits, 64 bytes are 512."""
    return text[:-1] + ALPHABET[ALPHABET.index(text[-1]) + 1]


def _standard(token: Token) -> str:
    """Sign until the two alphabets differ."""
    while True:
        signed, _, made = token.text().rpartition(".")
        if "-" in made or "_" in made:
            return f"{signed}.{made.replace('-', '+').replace('_', '/')}"
