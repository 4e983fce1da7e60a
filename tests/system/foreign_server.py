"""Servers of somebody else, in threads of the test: HTTPS on a free port of loopback, with a CA of their own."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

__all__ = ["ForeignServer"]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that does not believe us hangs up."""


class ForeignServer:
    """Answers on `port` of localhost, certified by `ca`, while `running`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.ca = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("localhost").configure_cert(context)
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve; leaving the block ends it, with its thread."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
