"""What one client can do before there is any HTTP: on the way through the handshake, and at the wrong door."""

from __future__ import annotations

import itertools
import os
import ssl

from tests.faults.attacker import HELLO, Attacker, client_context, drip, pour, receive_all, reset


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


def garbage(attacker: Attacker) -> None:
    for length in (1, 5, 100, 70_000):
        sock = attacker.connect_tcp()
        pour(sock, [os.urandom(length)])
        receive_all(sock, 0.05)


def plain_http_on_the_tls_port(attacker: Attacker) -> None:
    sock = attacker.connect_tcp()
    sock.sendall(HELLO)
    receive_all(sock)


def tls_on_the_plain_port(attacker: Attacker) -> None:
    sock = attacker.connect_tcp()
    sock.sendall(client_hello())
    receive_all(sock)


def silence(attacker: Attacker) -> None:
    for sock in [attacker.connect_tcp() for _ in range(100)]:
        sock.setblocking(False)


def half_a_client_hello(attacker: Attacker) -> None:
    hello = client_hello()
    for sock in [attacker.connect_tcp() for _ in range(50)]:
        sock.sendall(hello[: len(hello) // 2])


def slow_client_hello(attacker: Attacker) -> None:
    drip(attacker.connect_tcp(), client_hello())


def reset_in_the_handshake(attacker: Attacker) -> None:
    hello = client_hello()
    for start in (b"", hello[:5], hello[:100], hello) * 10:
        sock = attacker.connect_tcp()
        sock.sendall(start)
        reset(sock)
    for _ in range(10):
        sock = attacker.connect_tcp()
        sock.sendall(hello)
        sock.recv(100)
        reset(sock)


def silence_after_the_client_hello(attacker: Attacker) -> None:
    for sock in [attacker.connect_tcp(buffer=4096) for _ in range(50)]:
        sock.sendall(client_hello())


def endless_client_hello(attacker: Attacker) -> None:
    fragment = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4)
    pour(attacker.connect_tcp(), itertools.repeat(fragment))


def endless_tls_alerts(attacker: Attacker) -> None:
    pour(attacker.connect_tcp(), itertools.repeat(b"\x15\x03\x01\x00\x02\x01\x00" * 1000))


def handshake_after_handshake(attacker: Attacker) -> None:
    for _ in range(100):
        attacker.connect().close()
