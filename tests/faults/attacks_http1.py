"""What one client can do to a server with HTTP/1.1: each attack is a function of who attacks."""

from __future__ import annotations

import base64
import itertools
import os

from tests.faults.attacker import HELLO, Attacker, drip, pour, receive_all, reset

FRAME = b"\x81\x85" + bytes(4) + b"hello"
"""A WebSocket text frame, masked with nothing."""
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def websocket_frame_with_the_upgrade(attacker: Attacker) -> None:
    key = base64.b64encode(os.urandom(16))
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    receive_all(attacker.connect(upgrade + FRAME), 0.2)


def bad_chunk_header(attacker: Attacker) -> None:
    receive_all(attacker.connect(CHUNKED + b"zz\r\n"), 0.2)


def bad_h2c_settings(attacker: Attacker) -> None:
    upgrade = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: A\r\n\r\n"
    receive_all(attacker.connect(HELLO[:-2] + upgrade), 0.2)


def not_reading(attacker: Attacker) -> None:
    request = HELLO.replace(b"/hello", b"/big")
    for sock in [attacker.connect(request, buffer=4096) for _ in range(4)]:
        sock.settimeout(0.3)
        sock.recv(1)


def pipelining_without_reading(attacker: Attacker) -> None:
    pour(attacker.connect(buffer=4096), itertools.repeat(HELLO.replace(b"/hello", b"/big") * 200))


def pipelining(attacker: Attacker) -> None:
    sock = attacker.connect()
    for _ in range(30):
        pour(sock, [HELLO * 20])
        if receive_all(sock, 0.01)[1]:
            return


def bad_chunk_in_an_answer(attacker: Attacker) -> None:
    head = CHUNKED.replace(b"POST /echo", b"GET /big")
    sock = attacker.connect(head, buffer=4096)
    sock.recv(1)
    pour(sock, [b"zz\r\n"])


def expectations(attacker: Attacker) -> None:
    expecting = CHUNKED[:-2] + b"Expect: 100-continue\r\n\r\n"
    for more in (b"", b"zz\r\n", b"0\r\n\r\n" * 2, expecting):
        receive_all(attacker.connect(expecting + more), 0.05)


def slow_head(attacker: Attacker) -> None:
    drip(attacker.connect(), HELLO[:-2] + b"X-Slow: " + b"y" * 1000)


def slow_body(attacker: Attacker) -> None:
    drip(attacker.connect(POST + b"Content-Length: 1000\r\n\r\n"), b"x" * 1000)


def slow_chunks(attacker: Attacker) -> None:
    drip(attacker.connect(CHUNKED), b"1\r\nx\r\n" * 200)


def silence_after_a_request(attacker: Attacker) -> None:
    for sock in [attacker.connect(HELLO) for _ in range(50)]:
        receive_all(sock, 0.001)


def half_a_request(attacker: Attacker) -> None:
    for _ in range(100):
        attacker.connect(HELLO[:20])


def reset_in_a_request(attacker: Attacker) -> None:
    starts = (b"", HELLO[:20], HELLO, HELLO * 100, POST + b"Content-Length: 9\r\n\r\nab", CHUNKED + b"5\r\nab")
    for start in starts * 10:
        reset(attacker.connect(start))


def reset_in_an_answer(attacker: Attacker) -> None:
    for _ in range(10):
        sock = attacker.connect(HELLO.replace(b"/hello", b"/big"), buffer=4096)
        sock.recv(1)
        reset(sock)


def endless_head(attacker: Attacker) -> None:
    pour(attacker.connect(HELLO[:-2]), (b"X-%d: y\r\n" % number for number in itertools.count()))


def endless_field(attacker: Attacker) -> None:
    pour(attacker.connect(HELLO[:-2] + b"X: "), itertools.repeat(b"y" * 1000))


def endless_request_line(attacker: Attacker) -> None:
    pour(attacker.connect(b"GET /"), itertools.repeat(b"y" * 1000))


def endless_empty_lines(attacker: Attacker) -> None:
    pour(attacker.connect(), itertools.repeat(b"\r\n" * 500))


def head_in_tiny_packets(attacker: Attacker) -> None:
    socks = [attacker.connect(HELLO[:-2] + b"X: ") for _ in range(8)]
    for _ in range(2000):
        for sock in socks:
            pour(sock, [b"y"])


def endless_body(attacker: Attacker) -> None:
    sock = attacker.connect(POST + b"Content-Length: 1000000000000\r\n\r\n")
    pour(sock, itertools.repeat(b"x" * 65536))


def endless_body_that_nobody_reads(attacker: Attacker) -> None:
    head = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n"
    pour(attacker.connect(head), itertools.repeat(b"x" * 65536))


def tiny_chunks(attacker: Attacker) -> None:
    pour(attacker.connect(CHUNKED), itertools.repeat(b"1\r\nx\r\n" * 1000))


def tiny_chunks_that_nobody_reads(attacker: Attacker) -> None:
    head = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    pour(attacker.connect(head), itertools.repeat(b"1\r\nx\r\n" * 1000))


def endless_chunk_extension(attacker: Attacker) -> None:
    pour(attacker.connect(CHUNKED + b"1;a="), itertools.repeat(b"y" * 1000))


def large_chunk_extensions(attacker: Attacker) -> None:
    pour(attacker.connect(CHUNKED), itertools.repeat(b"1;a=" + b"y" * 8000 + b"\r\nx\r\n"))


def endless_trailers(attacker: Attacker) -> None:
    pour(attacker.connect(CHUNKED + b"0\r\n"), (b"X-%d: y\r\n" % number for number in itertools.count()))


def odd_bytes(attacker: Attacker) -> None:
    for odd in (b"\xff", b"\x01", b"%ff", b"%00", b"%", b"//", b"/../..", b"?\xff", b"?%ff=%fe"):
        receive_all(attacker.connect(HELLO.replace(b"/hello", b"/" + odd)), 0.05)
        for name in (b"Host", b"Content-Type", b"Cookie", b"Authorization", b"Expect", b"Content-Length", b"Range"):
            receive_all(attacker.connect(POST.replace(b"Host", b"X") + name + b": " + odd + b"\r\n\r\n"), 0.02)
