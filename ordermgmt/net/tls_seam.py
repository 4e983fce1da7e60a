"""What `net` asks of whoever knows about certificates: `security` implements it, `net` only uses it."""

from __future__ import annotations

import ssl
from typing import Protocol

__all__ = ["ClientTls", "PeerRefused"]


class PeerRefused(Exception):
    """The other end of a connection is not one that this end talks to.

    `code` is stable and machine-readable (`wrong-identity`), `detail` is for the log. Whoever sees it closes the
    connection before another byte is sent or read.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class ClientTls(Protocol):
    """How a client proves who it is and decides whom it talks to.

    After each handshake, before the first request, call `check` with what the server presented.
    """

    def context(self) -> ssl.SSLContext:
        """Return the context for new connections; it is shared, so nobody changes it."""
        ...

    @property
    def server_hostname(self) -> str | None:
        """The name for SNI and, if the context checks names, to verify. None: the host of the address."""
        ...

    def check(self, certificate: bytes | None) -> None:
        """Check the server's certificate (DER; None if it sent none). Raises PeerRefused."""
        ...
