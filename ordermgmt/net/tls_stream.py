"""TLS over a stream, for one reader and one writer: what a connection needs, at a third of what Trio's class costs.

`trio.SSLStream` takes locks and turns of the scheduler so that any number of tasks may do anything at any time. Here
one task reads and one writes, as on every connection of ours. Like its `https_compatible` it takes the end of the
transport for the end of the data, and waits for no goodbye: HTTP tells where a message ends.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

import trio

from ordermgmt.net.tcp_stream import Prompt

__all__ = ["TlsStream"]

RECEIVE_SIZE = 65536
RECORD = 16384
"""Bytes of plain text that one record holds at most (RFC 8446 section 5.1)."""
_END = (ssl.SSLZeroReturnError, ssl.SSLEOFError)


class TlsStream:
    """A connection over `transport`, which it closes. First of all, somebody awaits `do_handshake`.

    A send that is cancelled leaves half a record behind: the stream is broken then. A receive may be cancelled.
    Raises BrokenResourceError for what is no TLS, ClosedResourceError after it was closed.
    """

    def __init__(
        self,
        transport: trio.abc.Stream,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self.transport_stream = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._prompt = transport if isinstance(transport, Prompt) else None
        self._unsent = b""
        self._ready = False
        self._broken = False
        self._writing = False
        self._written = trio.lowlevel.ParkingLot()

    async def do_handshake(self) -> None:
        """Agree on keys; each side checks the other's certificate as the context says."""
        while not self._ready:
            try:
                self._tls.do_handshake()
                self._ready = True
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLError, ssl.CertificateError) as error:
                self._broken = True
                raise trio.BrokenResourceError from error
        await self._flush()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it, in as few writes as the transport makes of it."""
        self._check()
        if data:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                self._broken = True
                raise trio.BrokenResourceError from error
        await self._flush()

    def send_now(self, data: bytes) -> bool:
        """Send without waiting. False if some of it is left, which goes with the next `send_all`, be it of nothing."""
        self._check()
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._broken = True
            raise trio.BrokenResourceError from error
        if self._writing or self._unsent or self._prompt is None:
            return False
        records = self._outgoing.read()
        try:
            self._unsent = records[self._prompt.send_now(records) :]
        except BaseException:
            self._broken = True
            raise
        return not self._unsent

    async def receive_some(self, max_bytes: int = RECORD) -> bytes:
        """Return some bytes, none at the end."""
        self._check()
        while True:  # noqa: ASYNC913 - what is there is given without a turn of the scheduler
            try:
                return self._tls.read(min(max_bytes, RECORD))
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    await self._flush()  # such as the answer to new keys
                await self._fill()
            except _END:
                return b""
            except ssl.SSLError as error:
                self._broken = True
                raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Say goodbye, if that can be done, and close the transport."""
        try:
            if self._ready and not self._broken:
                with suppress(ssl.SSLError):
                    self._tls.unwrap()  # it would like to wait for the other's
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._flush()
        finally:
            self._broken = True
            await trio.aclose_forcefully(self.transport_stream)  # noqa: ASYNC102 - waits for nobody

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        """Return the other's certificate (DER), None if it has shown none."""
        certificate = self._tls.getpeercert(binary_form)
        return certificate if isinstance(certificate, bytes) else None

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that both sides agreed on, if any."""
        return self._tls.selected_alpn_protocol()

    def _check(self) -> None:
        if self._broken or not self._ready:
            msg = "this stream is broken, or has not shaken hands"
            raise trio.BrokenResourceError(msg)

    async def _fill(self) -> None:
        data = await self.transport_stream.receive_some(RECEIVE_SIZE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        """Send what is to be sent; records of the reader and the writer go out whole and in order."""
        while self._writing:
            await self._written.park()
        data, self._unsent = self._unsent + self._outgoing.read(), b""
        if not data:
            return
        self._writing = True
        try:
            await self.transport_stream.send_all(data)
        except BaseException:
            self._broken = True
            raise
        finally:
            self._writing = False
            self._written.unpark_all()
