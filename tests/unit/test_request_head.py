"""Heads of requests that a lenient reader might take in another way."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.net.request_head import MAX_FIELDS, MAX_HEAD, MAX_REQUEST_LINE, refusal

GOOD = b"POST /order HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"


def test_a_well_formed_head_passes_however_much_of_it_is_there() -> None:
    assert all(refusal(GOOD[:length]) is None for length in range(len(GOOD) + 1))
    assert refusal(b"\r\n" + GOOD) is None


@pytest.mark.parametrize("body", [b"\n\n", b"\n folded", b"\0", b"\r", b"x" * 20_000, b"a\n" * 500])
def test_what_follows_the_head_is_not_looked_at(body: bytes) -> None:
    assert refusal(GOOD + body) is None


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GOOD.replace(b"\r\nHost", b"\nHost"), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"\r\n\r\n", b"\n\n"), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"\r\n\r\n", b"\r\n\n"), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"Host: ", b"Host:\r "), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"Host: ", b"Host:\r\n "), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"Host: ", b"Host:\r\n\t"), HTTPStatus.BAD_REQUEST),
        (GOOD.replace(b"localhost", b"local\0host"), HTTPStatus.BAD_REQUEST),
        (b"\n" + GOOD, HTTPStatus.BAD_REQUEST),
        (b"GET /" + b"a" * MAX_REQUEST_LINE, HTTPStatus.REQUEST_URI_TOO_LONG),
        (GOOD[:-2] + b"X: y\r\n" * (MAX_FIELDS - 1) + b"\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (GOOD[:-2] + b"X: " + b"y" * MAX_HEAD + b"\r\n\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (GOOD[:-2] + b"X: y\r\n" * (MAX_FIELDS + 5), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_anything_else_is_refused(head: bytes, status: HTTPStatus) -> None:
    assert refusal(head) is status


def test_as_many_fields_as_are_allowed_pass() -> None:
    assert refusal(GOOD[:-2] + b"X: y\r\n" * (MAX_FIELDS - 2) + b"\r\n") is None


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_refusal_is_never_taken_back(data: bytes, cut: int) -> None:
    early = refusal(data[:cut])
    if early is not None:
        assert refusal(data) is not None
