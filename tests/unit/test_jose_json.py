"""JSON and base64url of which there is only one reading."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.security.jose_json import Refused, decode_base64url, decode_object, encode_base64url


@given(st.binary(max_size=300))
def test_any_bytes_have_one_encoding(data: bytes) -> None:
    text = encode_base64url(data)
    assert decode_base64url(text) == data
    assert text == urlsafe_b64encode(data).decode().rstrip("=")


@given(st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:0123456789eE.-\\utrfalsn ').map(str.encode)))
def test_decoding_any_bytes_gives_an_object_or_is_refused(data: bytes) -> None:
    with suppress(Refused):
        assert isinstance(decode_object(data, 300), dict)
