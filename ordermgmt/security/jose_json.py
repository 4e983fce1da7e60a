"""What JOSE is written in, read strictly: JSON objects and base64url of which there is only one reading.

Two parsers that read the same signed bytes differently are a way round a signature, so whatever is ambiguous is
refused (RFC 8725 section 2.6; RFC 7515 section 4; RFC 7519 section 4).
"""

from __future__ import annotations

import json
import math
import re
from binascii import a2b_base64, b2a_base64
from typing import Any, NoReturn

import msgspec

__all__ = ["Refused", "decode_base64url", "decode_object", "encode_base64url"]

MAX_DEPTH = 8
"""Levels of objects and lists. A chain of four actors in a claim is five deep; JWK sets are four deep."""
MAX_DIGITS = 20
"""Of an integer: what 64 bits need."""

_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""To the alphabet of the decoder; its own characters, which are not ours, to one that it refuses."""
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")
"""By characters above a multiple of 4: the last ones whose bits are all used, or zero. No value leaves one."""
_PADDING = (b"", b"", b"==", b"=")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


class Refused(ValueError):
    """Bytes that are not what they should be; `reason` is stable and machine-readable (`duplicate-member`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode_base64url(data: bytes) -> str:
    """Encode without padding (RFC 7515 section 2)."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode the one encoding of each value: no padding, no other characters, no bits left over.

    Raises Refused("base64url").
    """
    rest = len(text) % 4
    if rest and text[-1] not in _LAST[rest]:
        raise Refused("base64url")
    try:
        return a2b_base64(text.encode("ascii").translate(_TO_STANDARD) + _PADDING[rest], strict_mode=True)
    except ValueError as error:
        raise Refused("base64url") from error


def decode_object(data: bytes, max_size: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Decode one JSON object of at most `max_size` bytes and `max_depth` levels.

    Numbers are finite, integers have at most 20 digits, strings are Unicode (no lone surrogates), and no object
    names a member twice. Raises Refused with the reason `too-large`, `too-deep`, `duplicate-member`, `number`,
    `text`, `not-json` or `not-an-object`, and nothing else whatever the bytes are.
    """
    if len(data) > max_size:
        raise Refused("too-large")
    if data.count(b"{") + data.count(b"[") > max_depth:  # or most of the brackets are in strings
        _check_depth(data, max_depth)
    value = _decode_plain(data)
    if value is None:
        value = _decode_any(data)
    if not isinstance(value, dict):
        raise Refused("not-an-object")
    return value


def _decode_plain(data: bytes) -> object:
    """Decode what is written as encoders write it, as nearly all is; None for the rest, right or wrong.

    The fast decoder takes the last of two members of one name. But then encoding the value gives fewer members,
    so bytes that come back token by token, whatever the spaces and digits, named none twice.
    """
    try:
        value = _PLAIN_DECODER.decode(data)
        again = _PLAIN_ENCODER.encode(value)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    outline = _outline(data)
    if again != data and _outline(again) != outline:
        return None
    if _MANY_DIGITS in outline and any(number in outline for number in _LONG_NUMBERS):
        return None
    return value


def _outline(data: bytes) -> bytes:
    return data.translate(_DIGITS_TO_0, b" \t\r\n")


def _decode_any(data: bytes) -> object:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("text") from error
    try:
        value = _DECODER.decode(text)
    except Refused:
        raise
    except ValueError as error:
        raise Refused("not-json") from error
    if "\\u" in text:
        _check_surrogates(value)
    return value


def _check_depth(data: bytes, max_depth: int) -> None:
    """Measure before parsing: a parser that recurses must not meet a tower of brackets."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        if match[0] in b"[{":
            depth += 1
            if depth > max_depth:
                raise Refused("too-deep")
        elif match[0] in b"]}":
            depth -= 1


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("text") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("duplicate-member")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Refused("number")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refused("number")
    return number


def _not_a_number(_text: str) -> NoReturn:
    raise Refused("number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_not_a_number
)
_DIGITS_TO_0 = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * MAX_DIGITS
_LONG_NUMBERS = (b":0" + _MANY_DIGITS, b",0" + _MANY_DIGITS, b"[0" + _MANY_DIGITS, b"-" + _MANY_DIGITS)
"""How one of more than 20 characters begins; what is as long in a string begins with a quotation mark."""
_PLAIN_DECODER = msgspec.json.Decoder()
_PLAIN_ENCODER = msgspec.json.Encoder()
