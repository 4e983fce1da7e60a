"""Bodies, however they are cut into chunks and packets."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.net.refused import Refused
from ordermgmt.net.request_body import MAX_CHUNK_LINE, MAX_FRAMING, ChunkedBody, LengthBody

LIMIT = 100_000


def read_in_parts(body: ChunkedBody | LengthBody, wire: bytes, sizes: list[int]) -> tuple[bytes, bytes]:
    """Return the body and what is left of the wire."""
    received, data = bytearray(), b""
    for size in [*sizes, len(wire)]:
        received += wire[:size]
        wire = wire[size:]
        if not body.done:
            data += body.take(received)
    return data, bytes(received)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(1, 20)), st.booleans())
def test_a_chunked_body_is_the_same_in_any_packets(parts: list[bytes], sizes: list[int], extras: bool) -> None:  # noqa: FBT001
    extension, trailer = (b";a=b;c", b"X: y\r\n") if extras else (b"", b"")
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
    body = ChunkedBody(LIMIT)
    assert read_in_parts(body, wire + b"NEXT", sizes) == (b"".join(parts), b"NEXT")
    assert body.done


@given(st.binary(min_size=1, max_size=50), st.lists(st.integers(1, 20)))
def test_a_body_of_known_length_ends_where_it_should(content: bytes, sizes: list[int]) -> None:
    body = LengthBody(len(content))
    assert read_in_parts(body, content + b"NEXT", sizes) == (content, b"NEXT")
    assert body.done


@pytest.mark.parametrize(
    "wire",
    [
        b"zz\r\n",
        b"\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b"5 \r\n",
        b" 5\r\n",
        b"5\t\r\n",
        b"5 ;a\r\n",
        b"5\n",
        b"5\r\r\n",
        b"5;a\rb\r\n",
        b"5;a\nb\r\n",
        b"5;a\0b\r\n",
        b"5,5\r\n",
        b"5\xa0\r\n",
        b"f" * 17 + b"\r\n",
        b"0" * 16 + b"5\r\n",
        b"5;" + b"a" * MAX_CHUNK_LINE,
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n",
        b"5\r\nhello5\r\n",
        b"0\r\n X: folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nX: " + b"y" * MAX_CHUNK_LINE,
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["at-once", "byte-by-byte"])
def test_framing_that_can_be_read_in_two_ways_is_refused(wire: bytes, whole: bool) -> None:  # noqa: FBT001
    with pytest.raises(Refused) as refused:
        read_in_parts(ChunkedBody(LIMIT), wire, [] if whole else [1] * len(wire))
    assert refused.value.status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("wire", [b"186a1\r\n", b"ffffffff\r\n", b"186a0\r\n" + b"x" * LIMIT + b"\r\n1\r\n"])
def test_a_body_is_too_large_as_soon_as_it_is_announced(wire: bytes) -> None:
    with pytest.raises(Refused) as refused:
        ChunkedBody(LIMIT).take(bytearray(wire))
    assert refused.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("unit", [b"1\r\nx\r\n", b"1;" + b"a" * 200 + b"\r\nx\r\n"], ids=["one-byte", "extensions"])
def test_a_body_that_is_all_framing_is_refused(unit: bytes) -> None:
    with pytest.raises(Refused):
        ChunkedBody(LIMIT).take(bytearray(unit * MAX_FRAMING))


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(Refused):
        ChunkedBody(LIMIT).take(bytearray(b"0\r\n" + b"X: y\r\n" * MAX_FRAMING))
