"""One client connection, from accept to close, that no client can use to harm another.

Hypercorn's classes turn requests into calls of the application; the stream, its deadlines and its end are ours: an
error in one connection ends that connection only, a send ends, and every connection is closed when it should be.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from ordermgmt.net.app_stream import AppStream
from ordermgmt.net.app_tasks import AppTasks
from ordermgmt.net.http1 import Http1, WholeAnswer
from ordermgmt.net.http2 import Http2
from ordermgmt.net.limits import Limits
from ordermgmt.net.outgoing import Outgoing
from ordermgmt.net.tls_seam import PeerRefused
from ordermgmt.net.tls_stream import TlsStream
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Connection", "Identify", "Limits", "Shared", "remote_host"]

RECEIVE_SIZE = 65536

Identify = Callable[[bytes | None], object]
"""Maps the client's certificate (DER, or None) to who it is; raises PeerRefused to close the connection."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections of one listener have in common."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    limits: Limits
    tls: Callable[[], ssl.SSLContext] | None
    identify: Identify | None


class HttpProtocol(Protocol):
    """What a connection asks of a version of HTTP."""

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending."""
        ...

    async def initiate(self) -> None:
        """Say what the server says first."""
        ...

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, or the news that the connection is over."""
        ...

    async def expired(self) -> None:
        """Act on a client that took too long."""
        ...

    async def drain(self) -> None:
        """End as soon as nothing is in flight."""
        ...


class Seen(Protocol):
    """Is told whether a connection is idle."""

    def __call__(self, connection: Connection, *, idle: bool) -> None:
        """Take note."""
        ...


class Connection:
    """Serves one accepted stream. Made by `server.serve`.

    `seen(self, idle=...)` is called when a request comes into flight, and when none is in flight any longer.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, shared: Shared, seen: Seen) -> None:
        self._transport = stream
        self._stream: Any = stream
        self._shared = shared
        self._limits = shared.limits
        self._seen = seen
        self._accepted = trio.current_time()
        self._reading = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._deadline = self._accepted + self._limits.header
        self._waiting = False
        self._cut = False
        self._linger = False
        self._protocol: HttpProtocol | None = None
        self._log = get_logger("net")

    async def run(self) -> None:
        """Serve until either side ends it. Raises nothing but Cancelled; the stream is closed afterwards."""
        end = self._accepted + self._limits.lifetime + self._limits.overtime
        try:
            with trio.CancelScope(deadline=end):
                await self._serve()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError) as group:
            self._log.debug("connection-ended", reason=repr(group.exceptions[0]))
        except* PeerRefused as group:
            self._log.warning("peer-refused", reason=str(group.exceptions[0]))
        except* Exception:  # noqa: BLE001 - the barrier: a fault of one connection must not reach the others
            self._log.exception("connection-failed")
        finally:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(self._limits.close):
                    await self._close()
                await trio.aclose_forcefully(self._transport)

    async def drain(self) -> None:
        """End the connection unless a request is in flight, or on its way; otherwise it ends with its response."""
        if self._protocol is None:  # the client may have shaken hands already, and asked
            await trio.sleep(self._limits.farewell)
        if self._protocol is None:
            await self.abort()
        else:
            await self._protocol.drain()

    async def abort(self) -> None:
        """Close without goodbye and without waiting: what is being sent to the client ends with an error."""
        self._lose()
        await trio.aclose_forcefully(self._transport)

    async def _serve(self) -> None:
        # When it should end: for answers that would go on.
        state = ConnectionState({"ends_at": self._accepted + self._limits.lifetime})
        certificate = await self._handshake()
        if self._shared.identify is not None:
            state["peer"] = self._shared.identify(certificate)
        send_now = self._stream.send_now if isinstance(self._stream, TlsStream) else None
        outgoing = Outgoing(self._stream.send_all, self._limits.send, self._lose, send_now)
        async with trio.open_nursery() as sending:
            sending.start_soon(outgoing.run)
            async with trio.open_nursery() as requests:
                self._protocol = self._speak(AppTasks(requests), outgoing, state)
                await self._protocol.initiate()
                await self._read(self._protocol)
                await self._protocol.handle(Closed())
                outgoing.finish()
                # An application that does not mind that its client is gone must not keep the connection.
                requests.cancel_scope.deadline = trio.current_time() + self._limits.close

    async def _handshake(self) -> bytes | None:
        if self._shared.tls is None:
            return None
        self._stream = TlsStream(self._transport, self._shared.tls(), server_side=True)
        with trio.fail_at(self._accepted + self._limits.handshake):
            await self._stream.do_handshake()
        certificate: bytes | None = self._stream.getpeercert(binary_form=True)
        return certificate

    def _speak(self, tasks: AppTasks, outgoing: Outgoing, state: ConnectionState) -> HttpProtocol:
        shared = self._shared

        async def send(event: Event) -> None:
            if isinstance(event, WholeAnswer):
                outgoing.send(event.data)
                await outgoing.room()
            elif isinstance(event, RawData):
                outgoing.put(event.data)
                await outgoing.room()
            elif isinstance(event, Updated):
                self._seen(self, idle=event.idle)
                if event.idle:
                    self._wait_for(self._limits.idle)
                    if self._must_close():
                        self._end()
            elif isinstance(event, Closed):
                self._end()

        client, server = _address(self._transport, "getpeername"), _address(self._transport, "getsockname")
        arguments: Any = (shared.app, shared.config, shared.context, tasks, shared.tls is not None, client, server)

        def make_stream(*to: Any) -> AppStream:
            return AppStream(*arguments, *to)

        bounds: Any = {"limits": self._limits, "wait_for": self._wait_for, "must_close": self._must_close}
        if shared.tls is not None and self._stream.selected_alpn_protocol() == "h2":
            return Http2(make_stream, shared.config, tasks, state, send, **bounds)
        return Http1(make_stream, state, send, **bounds)

    async def _read(self, protocol: HttpProtocol) -> None:
        with self._reading:
            while True:
                with trio.CancelScope(deadline=self._deadline) as self._receiving:
                    self._waiting = True
                    data = await self._stream.receive_some(RECEIVE_SIZE)
                    if not data:
                        return
                self._waiting = False
                if self._receiving.cancelled_caught:
                    await protocol.expired()
                else:
                    await protocol.handle(RawData(bytes(data)))
        self._linger = protocol.expects_more and not self._cut

    def _wait_for(self, seconds: float) -> None:
        """Move the time at which the client has taken too long."""
        self._deadline = trio.current_time() + seconds
        if self._waiting:
            self._receiving.deadline = self._deadline

    def _end(self) -> None:
        """Read no more; what is to be sent is sent."""
        self._reading.cancel()

    def _lose(self) -> None:
        """End a connection whose client is gone, or must go."""
        self._cut = True
        self._end()

    def _must_close(self) -> bool:
        expired = trio.current_time() >= self._accepted + self._limits.lifetime  # as `ends_at` says
        return expired or self._shared.context.terminated.is_set()

    async def _close(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            if self._linger:
                await self._drop_unread()
            await self._stream.aclose()

    async def _drop_unread(self) -> None:
        await self._transport.send_eof()
        left = self._limits.linger_bytes
        while left > 0:
            data = await self._transport.receive_some(RECEIVE_SIZE)
            if not data:
                break
            left -= len(data)


def remote_host(stream: trio.abc.HalfCloseableStream) -> str:
    """Return the client's address; empty if it is gone already, or the network has none."""
    try:
        address = _address(stream, "getpeername")
    except OSError:
        return ""
    return address[0] if address else ""


def _address(stream: Any, which: str) -> tuple[str, int] | None:
    sock = getattr(stream, "socket", None)
    if sock is None:
        return None
    host, port = getattr(sock, which)()[:2]
    return host, port
