"""Something in between on the way to a listener: it passes bytes on, late, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65536


class Relay:
    """Connects whoever comes to `port` with `target` (0: nobody is there yet). Its flags may be changed at any time."""

    def __init__(self, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self.target = 0
        self.delay = 0.0
        """Seconds by which answers are late that are read from now on."""
        self._flows = threading.Event()
        self._flows.set()
        self._over = threading.Event()
        self._listening = listening
        self._sockets: list[socket.socket] = []

    def silence(self) -> None:
        """Let nothing through, either way, on connections that stay open."""
        self._flows.clear()

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, to, late in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, to, late), daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._flows.set()
        for each in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pass_on(self, source: socket.socket, to: socket.socket, late: bool) -> None:  # noqa: FBT001 - a thread's argument
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._flows.wait()
                if late and self.delay:
                    self._over.wait(self.delay)
                if self._over.is_set():
                    return
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)


@contextmanager
def relay() -> Iterator[Relay]:
    """Open a relay; leaving the block cuts all of its connections."""
    opened = Relay(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=opened.run, daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        opened.close()
        thread.join(5)
