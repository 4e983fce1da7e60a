"""A hostile client: as many connections as it likes, and bytes on them that no honest one sends."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

Transport = Literal["plain", "tls"]
TRANSPORTS: tuple[Transport, ...] = ("plain", "tls")
HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A whole request, and the shortest there is."""
CONNECT = 2.0
"""Seconds that a connection may take to be made."""


class Attacker:
    """Its connections stay open until it leaves its block."""

    def __init__(self, port: int, transport: Transport) -> None:
        self.transport = transport
        self._port = port
        self._open: list[socket.socket] = []
        self._secured: list[ssl.SSLSocket] = []

    @property
    def connections(self) -> int:
        """How many it has opened."""
        return len(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for sock in (*self._open, *self._secured):
            sock.close()

    def is_cut_off_within(self, seconds: float) -> bool:
        """Wait until the server has closed every connection; False if it takes longer."""
        end = time.monotonic() + seconds
        poll = select.poll()
        left = {sock.fileno() for sock in (*self._open, *self._secured)} - {-1}
        for descriptor in left:
            poll.register(descriptor, select.POLLRDHUP)
        while left and (remaining := end - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(remaining * 1000):
                poll.unregister(descriptor)
                left.discard(descriptor)
        return not left

    def connect_tcp(self, source: str = "127.0.0.1", *, buffer: int | None = None) -> socket.socket:
        """Connect, and say nothing. `buffer` is how much the client takes in before it reads."""
        sock = socket.socket()
        self._open.append(sock)
        sock.settimeout(CONNECT)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", self._port))
        return sock

    def start_connecting(self, source: str) -> None:
        """Begin to connect, and wait for nothing."""
        sock = socket.socket()
        self._open.append(sock)
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.connect_ex(("127.0.0.1", self._port))

    def connect(
        self, first: bytes = b"", *, source: str = "127.0.0.1", buffer: int | None = None, alpn: tuple[str, ...] = ()
    ) -> socket.socket:
        """Connect, over TLS if that is the transport, and send `first` in one piece."""
        sock = self.connect_tcp(source, buffer=buffer)
        if self.transport == "tls":
            secured = client_context(alpn).wrap_socket(sock, do_handshake_on_connect=False, server_hostname="localhost")
            self._secured.append(secured)
            secured.do_handshake()
            sock = secured
        sock.sendall(first)
        return sock


def readable(descriptor: int, seconds: float) -> bool:
    """Wait until there is something to read, or the end of it; False if that takes too long."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def client_context(alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Return a context that trusts anybody: an attacker does not mind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def pour(sock: socket.socket, pieces: Iterable[bytes], seconds: float = 0.3) -> None:
    """Send pieces for so many seconds, or until the server closes the connection or takes no more."""
    end = time.monotonic() + seconds
    try:
        for piece in pieces:
            left = end - time.monotonic()
            if left <= 0:
                return
            sock.settimeout(left)
            sock.sendall(piece)
    except OSError:
        return


def drip(sock: socket.socket, data: Iterable[int], interval: float = 0.02, seconds: float = 2.0) -> None:
    """Send one byte at each interval, for so many seconds, or until the server closes the connection."""
    end = time.monotonic() + seconds
    for byte in data:
        if time.monotonic() > end or receive_all(sock, interval)[1]:
            return
        pour(sock, [bytes([byte])])


def receive_all(sock: socket.socket, seconds: float = 2.0) -> tuple[bytes, bool]:
    """Read for so many seconds, or to the end; return what came, and whether the server closed the connection."""
    end = time.monotonic() + seconds
    received = b""
    try:
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(65536)
            if not data:
                return received, True
            received += data
    except TimeoutError:
        return received, False
    except OSError:
        return received, True
    return received, False


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
