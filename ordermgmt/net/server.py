"""Serve an ASGI application on a listener: Hypercorn's protocols on our own connections."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from math import inf

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from ordermgmt.net.connection import Connection, Identify, Limits
from ordermgmt.telemetry.logs import get_logger

__all__ = ["serve"]


async def serve(
    app: ASGIFramework,
    listener: trio.abc.Listener[trio.abc.HalfCloseableStream],
    *,
    drain: trio.Event,
    tls: Callable[[], ssl.SSLContext] | None = None,
    identify: Identify | None = None,
    limits: Limits | None = None,
    drain_timeout: float = inf,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `drain` is set and the requests in flight are done, at most `drain_timeout` seconds later.

    `tls` is asked for a context at every connection, so a new one is in force for new connections. The
    listener is closed by this function. `started()` means that clients are being accepted. Cancelling it
    ends every connection at once. An application lifespan is not run: whoever calls owns the resources.
    """
    connections = _Connections(app, tls, identify, limits or Limits())
    async with trio.open_nursery() as nursery:
        try:
            async with trio.open_nursery() as accepting:
                await accepting.start(
                    partial(trio.serve_listeners, connections.handle, [listener], handler_nursery=nursery)
                )
                task_status.started()
                await drain.wait()
                accepting.cancel_scope.cancel()
            await connections.drain(drain_timeout)
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                # Forcibly closing does not wait for anybody.
                await connections.abort()


class _Connections:
    """The connections of one listener, and what they share."""

    def __init__(
        self,
        app: ASGIFramework,
        tls: Callable[[], ssl.SSLContext] | None,
        identify: Identify | None,
        limits: Limits,
    ) -> None:
        self._app = ASGIWrapper(app)
        self._tls = tls
        self._identify = identify
        self._limits = limits
        self._config = _config()
        self._context = WorkerContext(None)
        self._live: set[Connection] = set()
        self._ended = trio.Event()

    async def handle(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one accepted stream to its end."""
        connection = Connection(
            stream,
            app=self._app,
            config=self._config,
            context=self._context,
            limits=self._limits,
            tls=self._tls() if self._tls is not None else None,
            identify=self._identify,
        )
        self._live.add(connection)
        try:
            await connection.run()
        finally:
            self._live.discard(connection)
            self._ended.set()

    async def drain(self, seconds: float) -> None:
        """Let every connection end with the request that it has, for so many seconds."""
        await self._context.terminated.set()
        for connection in list(self._live):
            connection.drain()
        with trio.move_on_after(seconds):
            while self._live:
                self._ended = trio.Event()
                await self._ended.wait()
        if self._live:
            get_logger("net").warning("connections-cut", count=len(self._live), after=seconds)

    async def abort(self) -> None:
        """Cut what is left: a send is shielded from cancellation and ends only when its stream is closed."""
        for connection in list(self._live):
            await connection.abort()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("ordermgmt.net")
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    return config
