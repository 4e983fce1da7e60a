"""JSON and base64url of which there is only one reading."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.security import jose_json
from ordermgmt.security.jose_json import Refused, decode_base64url, decode_object, encode_base64url

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=\n \u00e9"
MEMBERS = st.dictionaries(
    st.text(alphabet='ab \\"\u00e9:', max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**22), 10**22) | st.floats() | st.text(alphabet='0a ,:[]{}-"\\'),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)

SEPARATORS = [(",", ":"), (", ", ": "), (" ,\t", "\r\n:")]


@given(st.binary(max_size=300))
def test_any_bytes_have_one_encoding(data: bytes) -> None:
    text = encode_base64url(data)
    assert decode_base64url(text) == data
    assert text == urlsafe_b64encode(data).decode().rstrip("=")


@given(st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:0123456789eE.-\\utrfalsn ').map(str.encode)))
def test_decoding_any_bytes_gives_an_object_or_is_refused(data: bytes) -> None:
    with suppress(Refused):
        assert isinstance(decode_object(data, 300), dict)


@given(st.text(alphabet=ALPHABET, max_size=9))
def test_whatever_decodes_is_the_encoding_of_what_it_decodes_to(text: str) -> None:
    with suppress(Refused):
        assert encode_base64url(decode_base64url(text)) == text


def reading(decode: Any, data: bytes) -> str:
    """Return the value with its types, or the reason why there is none."""
    try:
        return repr(decode(data))
    except Refused as error:
        return error.reason


@given(members=MEMBERS, separators=st.sampled_from(SEPARATORS), ascii_only=st.booleans())
def test_what_the_fast_decoder_takes_the_strict_one_reads_the_same(
    *, members: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    data = json.dumps(members, separators=separators, ensure_ascii=ascii_only).encode()
    value = jose_json._decode_plain(data)
    assert value is None or repr(value) == reading(jose_json._decode_any, data)
    assert reading(lambda data: decode_object(data, 10_000), data) == reading(jose_json._decode_any, data)


@given(st.text(alphabet='{}[]",:019eE.-\\u4 ab', max_size=30).map(lambda text: f'{{"a":{text}}}'.encode()))
def test_the_fast_decoder_takes_nothing_that_the_strict_one_refuses(data: bytes) -> None:
    value = jose_json._decode_plain(data)
    assert value is None or repr(value) == reading(jose_json._decode_any, data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"iss":"https://sts.example","aud":["order","x"],"exp":1700000060,"cnf":{"x5t#S256":"ab"},"n":1.5,"t":true}',
        b'{"iss": "https://sts.example", "sub": "110169484474386276334"}',
        b'{"n":12345678901234567890,"text":"5 7 0, [1]"}',
        b"{}",
    ],
)
def test_plain_json_takes_the_fast_way(data: bytes) -> None:
    assert jose_json._decode_plain(data) == json.loads(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"a":1}', "duplicate-member"),
        (b'{"a":1,"a":2}', "duplicate-member"),
        (b'{"a":{"b":1,"b":1},"c":1}', "duplicate-member"),
        (b'{"a":[{"b":1, "b":1}]}', "duplicate-member"),
        (b'{"a":1,"\\u0061":1}', "duplicate-member"),
        (b'{"a":123456789012345678901}', "number"),
        (b'{"a":[1,123456789012345678901]}', "number"),
        (b'{"a":[123456789012345678901]}', "number"),
        (b'{"a":-12345678901234567890}', "number"),
        (b'{"a": 123456789012345678901}', "number"),
        (b'{"a":1e999}', "number"),
        (b'{"a":NaN}', "number"),
    ],
)
def test_compact_json_with_two_readings_or_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        decode_object(data, 1000)
