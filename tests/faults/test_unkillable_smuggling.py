"""No request hides in another (RFC 9112 section 11.2): what two readers could take in two ways is refused by the first.

Each shape is followed at once by a complete second request. Ours says one refusal and closes the connection, so the
second one is never read as a request; stock Hypercorn reads it, where the table says so.
"""

from __future__ import annotations

import re

import pytest

from tests.faults.attacker import HELLO, TRANSPORTS, Transport, receive_all
from tests.faults.victims import Victims

POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 5\r\n"

SHAPES: dict[str, tuple[bytes, int]] = {
    "length and coding": (POST + LENGTH + CHUNKED + b"\r\n" + BODY, 400),
    "coding and length": (POST + CHUNKED + LENGTH + b"\r\n" + BODY, 400),
    "two codings": (POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + BODY, 501),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + BODY, 501),
    "coding that is nearly chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY, 501),
    "coding in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + BODY, 501),
    "coding after a vertical tab": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + BODY, 400),
    "space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n" + BODY, 400),
    "coding on the next line": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + BODY, 400),
    "coding in HTTP/1.0": (POST.replace(b"/1.1", b"/1.0") + CHUNKED + b"\r\n" + BODY, 400),
    "two lengths": (POST + LENGTH + b"Content-Length: 6\r\n\r\nhello", 400),
    "a length twice": (POST + LENGTH + LENGTH + b"\r\nhello", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "length with a sign": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "negative length": (POST + b"Content-Length: -5\r\n\r\nhello", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "length with an underscore": (POST + b"Content-Length: 0_5\r\n\r\nhello", 400),
    "empty length": (POST + b"Content-Length: \r\n\r\nhello", 400),
    "bare LF in the head": (POST.replace(b"\r\nHost", b"\nHost") + b"\r\n", 400),
    "bare LF at the end of the head": (POST + LENGTH + b"\nhello", 400),
    "bare CR in the head": (POST + b"X: a\rContent-Length: 5\r\n\r\n", 400),
    "folded field": (POST + b"X: a\r\n b\r\n\r\n", 400),
    "space before the first field": (POST.replace(b"Host", b" Host") + b"\r\n", 400),
    "NUL in a field": (POST + b"X: a\0b\r\n\r\n", 400),
    "field without a name": (POST + b": a\r\n\r\n", 400),
    "space in a name": (POST + b"X Y: a\r\n\r\n", 400),
    "two hosts": (POST + b"Host: other\r\n\r\n", 400),
    "no host": (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    "two spaces in the request line": (HELLO.replace(b"GET ", b"GET  "), 400),
    "tab in the request line": (HELLO.replace(b"GET ", b"GET\t"), 400),
    "space after the version": (HELLO.replace(b"/1.1", b"/1.1 "), 400),
    "version with three digits": (HELLO.replace(b"/1.1", b"/1.10"), 400),
    "version that is not spoken": (HELLO.replace(b"/1.1", b"/1.2"), 505),
    "no version": (b"GET /hello\r\n\r\n", 400),
    "bare LF after a chunk size": (POST + CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n", 400),
    "bare LF in a chunk extension": (POST + CHUNKED + b"\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "bare CR in a chunk extension": (POST + CHUNKED + b"\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with a prefix": (POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with a sign": (POST + CHUNKED + b"\r\n+5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size after a space": (POST + CHUNKED + b"\r\n 5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk longer than its size": (POST + CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n", 400),
    "chunk that ends in a bare LF": (POST + CHUNKED + b"\r\n5\r\nhello\n0\r\n\r\n", 400),
    "bare LF at the end of the trailers": (POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\n\n", 400),
    "bare LF between trailers": (POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n", 400),
    "folded trailer": (POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", 400),
}
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
    shape, status = SHAPES[name]
    with victims.start("ours") as victim:
        for transport in TRANSPORTS:
            with victim.attacker(transport) as attacker:
                received, closed = receive_all(attacker.connect(shape + HELLO))
                assert (statuses(received), closed) == ([status], True)
            assert victim.serves(transport)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_stock_hypercorn_reads_the_second_request(transport: Transport, victims: Victims) -> None:
    with victims.start("stock") as victim, victim.attacker(transport) as attacker:
        waiting = {name: attacker.connect(shape + HELLO) for name, (shape, _) in SHAPES.items()}
        answers = {name: statuses(receive_all(sock, 0.1)[0]) for name, sock in waiting.items()}
    assert {name for name, several in answers.items() if len(several) > 1} == READ_BY_STOCK
