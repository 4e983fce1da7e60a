"""No request hides in another (RFC 9112 section 11.2): what two readers could take in two ways is refused by the first.

Each shape is followed at once by a complete second request. Ours says one refusal and closes the connection, so the
second one is never read as a request; stock Hypercorn reads it, where the table says so.
"""

from __future__ import annotations

import re

import pytest

from tests.faults.attacker import HELLO, TRANSPORTS, Transport, receive_all
from tests.faults.victims import Victims

pytestmark = pytest.mark.serial

POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 5\r\n"

SHAPES: dict[str, bytes] = {
    "length and coding": POST + LENGTH + CHUNKED + b"\r\n" + BODY,
    "coding and length": POST + CHUNKED + LENGTH + b"\r\n" + BODY,
    "two codings": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + BODY,
    "coding that is nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "coding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + BODY,
    "coding after a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + BODY,
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + BODY,
    "coding on the next line": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + BODY,
    "coding in HTTP/1.0": POST.replace(b"/1.1", b"/1.0") + CHUNKED + b"\r\n" + BODY,
    "two lengths": POST + LENGTH + b"Content-Length: 6\r\n\r\nhello",
    "a length twice": POST + LENGTH + LENGTH + b"\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "length with an underscore": POST + b"Content-Length: 0_5\r\n\r\nhello",
    "empty length": POST + b"Content-Length: \r\n\r\nhello",
    "bare LF in the head": POST.replace(b"\r\nHost", b"\nHost") + b"\r\n",
    "bare LF at the end of the head": POST + LENGTH + b"\nhello",
    "bare CR in the head": POST + b"X: a\rContent-Length: 5\r\n\r\n",
    "folded field": POST + b"X: a\r\n b\r\n\r\n",
    "space before the first field": POST.replace(b"Host", b" Host") + b"\r\n",
    "NUL in a field": POST + b"X: a\0b\r\n\r\n",
    "field without a name": POST + b": a\r\n\r\n",
    "space in a name": POST + b"X Y: a\r\n\r\n",
    "two hosts": POST + b"Host: other\r\n\r\n",
    "no host": b"GET /hello HTTP/1.1\r\n\r\n",
    "two spaces in the request line": HELLO.replace(b"GET ", b"GET  "),
    "tab in the request line": HELLO.replace(b"GET ", b"GET\t"),
    "space after the version": HELLO.replace(b"/1.1", b"/1.1 "),
    "version with three digits": HELLO.replace(b"/1.1", b"/1.10"),
    "version that is not spoken": HELLO.replace(b"/1.1", b"/1.2"),
    "no version": b"GET /hello\r\n\r\n",
    "bare LF after a chunk size": POST + CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n",
    "bare LF in a chunk extension": POST + CHUNKED + b"\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in a chunk extension": POST + CHUNKED + b"\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
    "chunk size with a prefix": POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a sign": POST + CHUNKED + b"\r\n+5\r\nhello\r\n0\r\n\r\n",
    "chunk size after a space": POST + CHUNKED + b"\r\n 5\r\nhello\r\n0\r\n\r\n",
    "chunk longer than its size": POST + CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n",
    "chunk that ends in a bare LF": POST + CHUNKED + b"\r\n5\r\nhello\n0\r\n\r\n",
    "bare LF at the end of the trailers": POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\n\n",
    "bare LF between trailers": POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade to HTTP/2": HELLO[:-2]
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
    "upgrade to a WebSocket": HELLO[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "folded trailer": POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
}
REFUSALS = (400, 501, 505)
"""Malformed; a coding or a protocol that is not spoken; a version that is not spoken."""
READ_BY_STOCK = {
    "length and coding",
    "coding and length",
    "coding on the next line",
    "a length twice",
    "a list of lengths",
    "bare LF in the head",
    "bare LF at the end of the head",
    "folded field",
    "version that is not spoken",
    "bare CR in a chunk extension",
    "bare LF at the end of the trailers",
    "bare LF between trailers",
    "folded trailer",
}
"""The shapes after which a stock Hypercorn goes on to the second request."""


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@pytest.mark.parametrize("name", SHAPES)
def test_ours_refuses_once_and_closes(name: str, victims: Victims) -> None:
    with victims.start("ours") as victim:
        for transport in TRANSPORTS:
            with victim.attacker(transport) as attacker:
                received, closed = receive_all(attacker.connect(SHAPES[name] + HELLO))
                assert [status in REFUSALS for status in statuses(received)] == [True]
                assert closed
            assert victim.serves(transport)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_stock_hypercorn_reads_the_second_request(transport: Transport, victims: Victims) -> None:
    with victims.start("stock") as victim, victim.attacker(transport) as attacker:
        waiting = {name: attacker.connect(shape + HELLO) for name, shape in SHAPES.items()}
        answers = {name: statuses(receive_all(sock, 0.1)[0]) for name, sock in waiting.items()}
    assert {name for name, several in answers.items() if len(several) > 1} == READ_BY_STOCK
