"""One client connection, from accept to close, that no client can use to harm another.

Hypercorn's protocol classes parse and frame; the stream, its deadlines and its end are ours: an error in
one connection ends that connection only, a send ends, and every connection is closed when it should be.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from ordermgmt.net.http1 import Http1
from ordermgmt.net.tls_seam import PeerRefused
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Connection", "Limits"]

RECEIVE_SIZE = 65536
SEND_SIZE = 65536

Identify = Callable[[bytes | None], object]
"""Maps the client's certificate (DER, or None) to who it is; raises PeerRefused to close the connection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take; all in seconds but `linger_bytes`."""

    handshake: float = 10.0
    """From accept to the end of the TLS handshake, and again to the end of the first request's head."""
    idle: float = 30.0
    """From the end of a response to the end of the next request's head."""
    send: float = 30.0
    """For every 64 KiB that the client has to take."""
    lifetime: float = 600.0
    """After which a connection ends with its current response, so that removed trust ends too."""
    close: float = 2.0
    """For the closing itself."""
    linger_bytes: int = 256 * 1024
    """What is read and thrown away at most, so that an early answer is not lost to a reset."""


class Connection:
    """Serves one accepted stream. Made by `server.serve`, which also holds the context that they share."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        *,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        limits: Limits,
        tls: ssl.SSLContext | None,
        identify: Identify | None,
    ) -> None:
        self._transport = stream
        self._stream: Any = stream
        if tls is not None:
            self._stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        self._secure = tls is not None
        self._app = app
        self._config = config
        self._context = context
        self._limits = limits
        self._identify = identify
        self._accepted = trio.current_time()
        self._send_lock = trio.Lock()
        self._reading = trio.CancelScope()
        self._idle = True
        self._linger = False
        self._protocol: Http1
        self._log = get_logger("net")

    async def run(self) -> None:
        """Serve until either side ends it. Raises nothing but Cancelled; the stream is closed afterwards."""
        try:
            await self._serve()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError) as group:
            self._log.debug("connection-ended", reason=repr(group.exceptions[0]))
        except* PeerRefused as group:
            self._log.warning("peer-refused", reason=str(group.exceptions[0]))
        except* Exception:  # noqa: BLE001 - the barrier: a fault of one connection must not reach the others
            self._log.exception("connection-failed")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self._limits.close):
                await self._close()

    def drain(self) -> None:
        """End the connection now if no request is in flight; otherwise it ends with its response."""
        if self._idle:
            self._reading.cancel()

    async def abort(self) -> None:
        """Close without goodbye: what is being sent to the client ends with an error."""
        await trio.aclose_forcefully(self._transport)

    async def _serve(self) -> None:
        certificate = await self._handshake()
        state = ConnectionState({})
        if self._identify is not None:
            state["peer"] = self._identify(certificate)
        async with TaskGroup() as task_group:
            self._protocol = Http1(
                self._app,
                self._config,
                self._context,
                task_group,
                state,
                self._secure,
                _address(self._transport, "getpeername"),
                _address(self._transport, "getsockname"),
                self._protocol_send,
                must_close=self._must_close,
            )
            await self._protocol.initiate()
            await self._read()

    async def _handshake(self) -> bytes | None:
        if not self._secure:
            return None
        with trio.fail_at(self._accepted + self._limits.handshake):
            await self._stream.do_handshake()
        certificate: bytes | None = self._stream.getpeercert(binary_form=True)
        return certificate

    async def _read(self) -> None:
        self._reading.deadline = self._accepted + self._limits.handshake
        with self._reading:
            while True:
                data = await self._stream.receive_some(RECEIVE_SIZE)
                await self._protocol.handle(RawData(bytes(data)))
                if not data:
                    break
        await self._protocol.handle(Closed())

    async def _protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated):
            self._idle = event.idle
            self._reading.deadline = trio.current_time() + self._limits.idle if event.idle else inf
            if event.idle and self._context.terminated.is_set():
                self._reading.cancel()
        elif isinstance(event, Closed):
            self._linger = self._protocol.expects_more
            self._reading.cancel()

    async def _send(self, data: bytes) -> None:
        # A send that is cut in the middle leaves a broken stream, so it is shielded; a client that does not
        # read would hold it for ever, so it is bounded, and `abort` ends it at once.
        view = memoryview(data)
        async with self._send_lock:
            try:
                for start in range(0, len(view), SEND_SIZE):
                    with trio.CancelScope(shield=True) as scope:
                        scope.deadline = trio.current_time() + self._limits.send
                        await self._stream.send_all(view[start : start + SEND_SIZE])
                    if scope.cancelled_caught:
                        await self.abort()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._reading.cancel()

    def _must_close(self) -> bool:
        expired = trio.current_time() - self._accepted > self._limits.lifetime
        return expired or self._context.terminated.is_set()

    async def _close(self) -> None:
        try:
            if self._linger:
                await self._drop_unread()
            await self._stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            await trio.aclose_forcefully(self._transport)

    async def _drop_unread(self) -> None:
        await self._transport.send_eof()
        left = self._limits.linger_bytes
        while left > 0:
            data = await self._transport.receive_some(RECEIVE_SIZE)
            if not data:
                break
            left -= len(data)


def _address(stream: Any, which: str) -> tuple[str, int] | None:
    sock = getattr(stream, "socket", None)
    if sock is None:
        return None
    host, port = getattr(sock, which)()[:2]
    return host, port
