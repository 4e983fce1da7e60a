"""Victims, whoever attacks them, and the honest client that must be served all the while."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import msgspec
import trustme

from tests.faults.unkillable_victim import Order, Reap

PROMPT = 1.0
"""Seconds within which the next client has its answer, whatever another one does."""
PATIENCE = 0.4
"""Every deadline of a victim of ours, in seconds."""
DRAIN = 0.2
"""Seconds that a victim has for what is in flight when it is told to end."""
HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"

Server = Literal["stock", "ours"]
Transport = Literal["plain", "tls"]
TRANSPORTS: tuple[Transport, ...] = ("plain", "tls")


class Resources(NamedTuple):
    """What a process holds."""

    memory: int
    """Resident bytes."""
    descriptors: int


@dataclass
class Victim:
    """A running victim. Leave its end to `Victims`."""

    pid: int
    ports: dict[Transport, int]
    log: Path
    descriptor: int
    """A pidfd: readable once the process has ended."""
    reap: Callable[[], int]
    """Waits for the end and returns the exit status."""

    def ended_within(self, seconds: float) -> bool:
        """Wait for the process's end; True if it came."""
        return readable(self.descriptor, seconds)

    def terminate(self) -> None:
        """Send SIGTERM, if it has not ended already."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGTERM)

    def serves(self, transport: Transport) -> bool:
        """Tell whether the next client, on a connection of its own, has its answer promptly."""
        end = time.monotonic() + PROMPT
        received = b""
        try:
            with Attacker(self, transport) as client:
                sock = client.connect(HELLO)
                while not received.endswith(b"hello"):
                    sock.settimeout(max(end - time.monotonic(), 0.001))
                    data = sock.recv(4096)
                    if not data:
                        return False
                    received += data
        except OSError:
            return False
        return received.startswith(b"HTTP/1.1 200") and time.monotonic() < end

    def resources(self) -> Resources:
        """Return what it holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        return Resources(kilobytes * 1024, len(list(Path(f"/proc/{self.pid}/fd").iterdir())))


class Victims:
    """Starts victims, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        authority = trustme.CA()
        identity = authority.issue_cert("localhost")
        certificate = folder / "identity.pem"
        identity.private_key_and_cert_chain_pem.write_to_path(certificate)
        command = [sys.executable, "-m", "tests.faults.unkillable_victim", str(certificate)]
        self._starter = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], bufsize=0
        )

    def close(self) -> None:
        """Kill what is left."""
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.close()
        assert self._starter.wait(10) == 0
        self._starter.stdout.close()

    @contextlib.contextmanager
    def start(self, server: Server, *, patience: float = PATIENCE, descriptors: int = 6000) -> Iterator[Victim]:
        """Start one and have it serve its first clients; leaving the block kills it."""
        log = self._folder / f"{server}-{next(self._numbers)}.log"
        pid, plain, secure = self._ask(Order(server, str(log), patience, DRAIN, descriptors), log)
        reap = functools.cache(lambda: self._ask(Reap(pid), log)[0])
        victim = Victim(pid, {"plain": plain, "tls": secure}, log, os.pidfd_open(pid), reap)
        try:
            assert victim.serves("plain"), log.read_text()
            assert victim.serves("tls"), log.read_text()
            yield victim
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(victim.descriptor, signal.SIGKILL)
            reap()
            os.close(victim.descriptor)

    def _ask(self, order: Order | Reap, log: Path) -> list[int]:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(msgspec.json.encode(order) + b"\n")
        assert readable(self._starter.stdout.fileno(), 20), log.read_text()
        return [int(word) for word in self._starter.stdout.readline().split()]


class Attacker:
    """One client with as many connections as it likes, all of them open until it leaves its block."""

    def __init__(self, victim: Victim, transport: Transport) -> None:
        self.victim = victim
        self.transport = transport
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

    def connect_tcp(self, source: str = "127.0.0.1", *, buffer: int | None = None) -> socket.socket:
        """Connect, and say nothing. `buffer` is how much the client takes in before it reads."""
        sock = socket.socket()
        self._open.append(sock)
        sock.settimeout(PROMPT)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", self.victim.ports[self.transport]))
        return sock

    def start_connecting(self, source: str) -> None:
        """Begin to connect, and wait for nothing."""
        sock = socket.socket()
        self._open.append(sock)
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.connect_ex(("127.0.0.1", self.victim.ports[self.transport]))

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
