"""Serve an ASGI application on a listener: Hypercorn's protocols on our own connections."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from math import inf

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from ordermgmt.net.admission import Admission, address_key
from ordermgmt.net.connection import Connection, Identify, Limits, Shared, remote_host
from ordermgmt.telemetry.logs import get_logger

__all__ = ["ACCEPT_PAUSE", "serve"]

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when the system cannot accept, which is most often for want of file descriptors."""

Listener = trio.abc.Listener[trio.abc.HalfCloseableStream]


async def serve(
    app: ASGIFramework,
    listener: Listener,
    *,
    drain: trio.Event,
    tls: Callable[[], ssl.SSLContext] | None = None,
    identify: Identify | None = None,
    limits: Limits | None = None,
    drain_timeout: float = inf,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `drain` is set and the requests in flight are done, at most `drain_timeout` seconds later.

    If the limits have a `drain_delay`, new requests are taken for so long after `drain`, so that balancers can notice;
    each answer ends its connection. The time for the requests in flight begins then.
    `tls` is asked for a context at every connection, so a new one is in force for new connections. The
    listener is closed by this function. `started()` means that clients are being accepted. Cancelling it
    ends every connection at once. An application lifespan is not run: whoever calls owns the resources.
    """
    limits = limits or Limits()
    connections = _Connections(Shared(ASGIWrapper(app), _config(), WorkerContext(None), limits, tls, identify))
    async with trio.open_nursery() as nursery:
        try:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(connections.accept, listener, nursery)
                task_status.started()
                await drain.wait()
                await connections.leave()
                accepting.cancel_scope.cancel()
            await connections.drain(drain_timeout)
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                # Forcibly closing does not wait for anybody.
                await connections.abort()


class _Connections:
    """The connections of one listener."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._admission = Admission[Connection](shared.limits.connections, shared.limits.connections_per_address)
        self._live: set[Connection] = set()
        self._ended = trio.Event()
        self._log = get_logger("net")

    async def accept(self, listener: Listener, nursery: trio.Nursery) -> None:
        """Take connections for ever, whatever the system says, and close the listener in the end."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    self._log.warning("accept-failed", reason=error.strerror or str(error))
                    await self._end(self._admission.spare())
                    await trio.sleep(ACCEPT_PAUSE)
                else:
                    await self._admit(stream, nursery)

    async def _admit(self, stream: trio.abc.HalfCloseableStream, nursery: trio.Nursery) -> None:
        address = address_key(remote_host(stream))
        admitted, goes = self._admission.admit(address)
        if not admitted:
            self._log.debug("connection-refused", client=address)
            await trio.aclose_forcefully(stream)
            return
        connection = Connection(stream, self._shared, self._seen)
        self._admission.enter(connection, address, trio.current_time())
        self._live.add(connection)
        nursery.start_soon(self._run, connection)
        # Last: it is a place to be cancelled, and until now nobody else would have closed the new stream.
        await self._end(goes)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._admission.leave(connection)
            self._live.discard(connection)
            self._ended.set()

    async def _end(self, connection: Connection | None) -> None:
        """Make room: its place and its file are free at once, its task ends by itself."""
        if connection is not None:
            self._admission.leave(connection)
            await connection.abort()

    def _seen(self, connection: Connection, *, idle: bool) -> None:
        if idle:
            self._admission.idle(connection, trio.current_time())
        else:
            self._admission.busy(connection)

    async def leave(self) -> None:
        """Let every connection end with its next answer, and take new ones for as long as others need to notice."""
        await self._shared.context.terminated.set()
        await trio.sleep(self._shared.limits.drain_delay)

    async def drain(self, seconds: float) -> None:
        """Let every connection end with the request that it has, for so many seconds."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as telling:
                # At once: a client that does not read its goodbye keeps the others from nothing.
                for connection in self._live:
                    telling.start_soon(connection.drain)
            while self._live:
                self._ended = trio.Event()
                await self._ended.wait()
        if self._live:
            self._log.warning("connections-cut", count=len(self._live), after=seconds)

    async def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self._live):
            await connection.abort()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("ordermgmt.net")
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    return config
