"""How httpcore opens connections: over our own Network, with a look at who answered before anything is said."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore
import trio

from ordermgmt.net.network import Address, Network
from ordermgmt.net.tls_seam import ClientTls, PeerRefused

__all__ = ["Backend"]


class Backend(httpcore.AsyncNetworkBackend):
    """httpcore's view of our Network."""

    def __init__(self, network: Network, tls: ClientTls | None) -> None:
        self._network = network
        self._tls = tls

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Connect. Raises httpcore.ConnectError."""
        try:
            stream = await self._network.connect(Address(host, port))
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or str(error)) from error
        return _Stream(self._network, stream, stream, self._tls)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await trio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """One connection. `_wire` is what the Network made, `_stream` may have TLS round it."""

    def __init__(self, network: Network, wire: trio.abc.Stream, stream: Any, tls: ClientTls | None) -> None:
        self._network = network
        self._wire = wire
        self._stream = stream
        self._tls = tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError("connection lost while reading") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError("connection lost while writing") from error

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._wire)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        if self._tls is None:
            raise httpcore.ConnectError("this client does not speak TLS")
        stream = trio.SSLStream(
            self._wire, ssl_context, server_hostname=self._tls.server_hostname or server_hostname, https_compatible=True
        )
        try:
            await stream.do_handshake()
            self._tls.check(stream.getpeercert(binary_form=True))
        except (trio.BrokenResourceError, PeerRefused) as error:
            await trio.aclose_forcefully(self._wire)
            raise httpcore.ConnectError(str(error.__cause__ or error)) from error
        except BaseException:
            await trio.aclose_forcefully(self._wire)
            raise
        return _Stream(self._network, self._wire, stream, self._tls)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._network.is_readable(self._wire)
        return self._stream if info == "ssl_object" and self._stream is not self._wire else None
