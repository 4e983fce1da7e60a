"""Victims, each a process of its own, and the next client that they must serve."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import trustme

from tests.faults.attacker import HELLO, Attacker, Transport, readable
from tests.faults.victim import Order, Reap

PROMPT = 1.0
"""Seconds within which the next client has its answer, whatever another one does."""
PATIENCE = 0.4
"""Every deadline of a victim of ours, in seconds."""
DRAIN = 0.2
"""Seconds that a victim has for what is in flight when it is told to end."""

Server = Literal["stock", "ours"]


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

    def attacker(self, transport: Transport) -> Attacker:
        """Return a client of it."""
        return Attacker(self.ports[transport], transport)

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
            with self.attacker(transport) as client:
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
        command = [sys.executable, "-m", "tests.faults.victim", str(certificate)]
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
    def start(self, server: Server, *, patience: float = PATIENCE) -> Iterator[Victim]:
        """Start one and have it serve its first clients; leaving the block kills it."""
        log = self._folder / f"{server}-{next(self._numbers)}.log"
        pid, plain, secure = self._ask(Order(server, str(log), patience, DRAIN), log)
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
