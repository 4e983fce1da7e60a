"""Heads of requests that a lenient reader might take in another way."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordermgmt.net.refused import Refused
from ordermgmt.net.request_head import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_REQUEST_LINE,
    Head,
    check_start,
    find_end,
    read_head,
)

GOOD = b"POST /order?x=1 HTTP/1.1\r\nHost: localhost:8443\r\nContent-Length: 3\r\n\r\n"
PLAIN = GOOD.replace(b"Content-Length: 3\r\n", b"")


def with_fields(*fields: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST / HTTP/" + version, b"Host: localhost", *fields, b"", b""])


def with_line(line: bytes) -> bytes:
    return line + b"\r\nHost: localhost\r\n\r\n"


def status_of(head: bytes) -> HTTPStatus:
    with pytest.raises(Refused) as refused:
        read_head(head)
    return refused.value.status


def test_a_well_formed_head_is_read() -> None:
    host = (b"host", b"localhost:8443")
    usual = {"chunked": False, "is_current": True, "keeps": True, "expects_continue": False}
    fields = [host, (b"content-length", b"3")]
    assert read_head(GOOD) == Head(b"POST", b"/order?x=1", 3, fields=fields, **usual)
    assert read_head(PLAIN) == Head(b"POST", b"/order?x=1", 0, fields=[host], **usual)


@pytest.mark.parametrize(
    "head",
    [
        with_fields(b"Content-Length:3"),
        with_fields(b"Transfer-Encoding: Chunked"),
        with_fields(b"Expect: 100-Continue", b"Content-Length: 0"),
        with_fields(b"X: a\tb \xe9", b"Empty:"),
        with_fields(b"Upgrade: TLS/1.0", b"Connection: upgrade"),
        with_line(b"OPTIONS * HTTP/1.1"),
        with_line(b"GET http://LOCALHOST/x HTTP/1.1"),
        b"GET / HTTP/1.0\r\n\r\n",
        with_line(b"GET / HTTP/1.1").replace(b"localhost", b"[::1]:8443"),
    ],
)
def test_other_forms_that_are_clear_pass(head: bytes) -> None:
    assert read_head(head).target.startswith((b"/", b"*"))


def test_an_absolute_target_becomes_a_path() -> None:
    assert read_head(with_line(b"GET https://localhost/a?b HTTP/1.1")).target == b"/a?b"
    assert read_head(with_line(b"GET http://localhost?b HTTP/1.1")).target == b"/?b"


@pytest.mark.parametrize(
    "head",
    [
        PLAIN.replace(b"\r\nHost", b"\nHost"),
        PLAIN.replace(b"\r\n\r\n", b"\n\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\n\n"),
        PLAIN.replace(b"Host: ", b"Host:\r "),
        PLAIN.replace(b"Host: ", b"Host:\r\n "),
        PLAIN.replace(b"Host: ", b"Host:\r\n\t"),
        with_fields(b"X: a\0b"),
        with_fields(b"X: a\x0bb"),
        with_fields(b"X: a\x7fb"),
        with_fields(b"Content-Length : 3"),
        with_fields(b" X: y"),
        with_fields(b"X y"),
        with_fields(b": y"),
        with_fields(b"X(: y"),
        with_fields(b"X\xe9: y"),
        with_fields(b"Host: localhost"),
        with_fields(b"Host: other"),
        with_fields().replace(b"Host: localhost\r\n", b""),
        with_fields().replace(b"localhost", b""),
        with_fields().replace(b"localhost", b"a, b"),
        with_fields().replace(b"localhost", b"user@a"),
        with_fields().replace(b"localhost", b"a/b"),
        with_fields(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 4"),
        with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        with_fields(b"Transfer-Encoding: chunked, chunked"),
        with_fields(b"Transfer-Encoding: xchunked"),
        with_fields(b"Transfer-Encoding: chunked;a=b"),
        with_fields(b"Transfer-Encoding: \tchunked"),
        with_fields(b"Transfer-Encoding: \x0bchunked"),
        with_fields(b"Transfer-Encoding: chunked", version=b"1.0"),
        with_fields(b"Content-Length: 3", b"Content-Length: 3"),
        with_fields(b"Content-Length: 3", b"Content-Length: 4"),
        with_fields(b"Content-Length: +5"),
        with_fields(b"Content-Length: -5"),
        with_fields(b"Content-Length: 5,5"),
        with_fields(b"Content-Length: 5, 5"),
        with_fields(b"Content-Length:  5"),
        with_fields(b"Content-Length: 5 "),
        with_fields(b"Content-Length: 0x5"),
        with_fields(b"Content-Length: 5_0"),
        with_fields(b"Content-Length: \xb2"),
        with_fields(b"Content-Length:"),
        with_fields(b"Content-Length: " + b"9" * 30),
        with_line(b"GET  / HTTP/1.1"),
        with_line(b"GET / HTTP/1.1 "),
        with_line(b"GET /\t HTTP/1.1"),
        with_line(b"GET / HTTP/1.11"),
        with_line(b"GET / http/1.1"),
        with_line(b"GET /"),
        with_line(b"get / HTTP/1.1"),
        with_line(b"G\xc9T / HTTP/1.1"),
        with_line(b"A" * 40 + b" / HTTP/1.1"),
        with_line(b"GET /\xc3\xa9 HTTP/1.1"),
        with_line(b"GET /a#b HTTP/1.1"),
        with_line(b"GET order HTTP/1.1"),
        with_line(b"GET * HTTP/1.1"),
        with_line(b"GET localhost:80 HTTP/1.1"),
        with_line(b"GET http://other/x HTTP/1.1"),
        with_line(b"GET ftp://localhost/x HTTP/1.1"),
        b"GET http://localhost/ HTTP/1.0\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    assert status_of(head) is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (with_line(b"CONNECT localhost:80 HTTP/1.1"), HTTPStatus.METHOD_NOT_ALLOWED),
        (with_line(b"GET /" + b"a" * MAX_REQUEST_LINE + b" HTTP/1.1"), HTTPStatus.REQUEST_URI_TOO_LONG),
        (with_fields(*[b"X: y"] * MAX_FIELDS), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (with_fields(b"X: " + b"y" * MAX_HEAD), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (with_fields(b"Expect: the unexpected"), HTTPStatus.EXPECTATION_FAILED),
        (with_fields(b"Transfer-Encoding: gzip, chunked"), HTTPStatus.NOT_IMPLEMENTED),
        (with_fields(b"Transfer-Encoding: identity"), HTTPStatus.NOT_IMPLEMENTED),
        (with_fields(b"Upgrade: h2c"), HTTPStatus.NOT_IMPLEMENTED),
        (with_fields(b"Upgrade: foo, WebSocket"), HTTPStatus.NOT_IMPLEMENTED),
        (b"PRI * HTTP/2.0\r\n\r\n", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (with_line(b"GET / HTTP/1.2"), HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (with_line(b"GET / HTTP/0.9"), HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
    ],
)
def test_what_is_not_for_this_server_is_refused(head: bytes, status: HTTPStatus) -> None:
    assert status_of(head) is status


def test_as_many_fields_as_are_allowed_pass() -> None:
    assert read_head(with_fields(*[b"X: y"] * (MAX_FIELDS - 1))).length == 0


def test_the_end_is_found_wherever_reading_stopped() -> None:
    for cut in range(len(GOOD)):
        assert find_end(GOOD[:cut]) == -1
        assert find_end(GOOD + b"GET", cut) == len(GOOD)


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"\x16\x03\x01", HTTPStatus.BAD_REQUEST),
        (b"\r\n", HTTPStatus.BAD_REQUEST),
        (b" ", HTTPStatus.BAD_REQUEST),
        (b"G" * 9000, HTTPStatus.REQUEST_URI_TOO_LONG),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_a_hopeless_start_is_refused_before_it_ends(start: bytes, status: HTTPStatus) -> None:
    with pytest.raises(Refused) as refused:
        check_start(start)
    assert refused.value.status is status


def test_no_start_of_a_good_head_is_refused() -> None:
    for cut in range(len(GOOD)):
        check_start(GOOD[:cut])


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_of_any_bytes(data: bytes) -> None:
    try:
        head = read_head(data + b"\r\n\r\n")
    except Refused:
        return
    assert head.target.isascii()
