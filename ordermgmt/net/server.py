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
    connections: set[Connection] = set()
    config, context = _config(), WorkerContext(None)
    wrapped = ASGIWrapper(app)
    empty = trio.Event()

    async def handle(stream: trio.abc.HalfCloseableStream) -> None:
        connection = Connection(
            stream,
            app=wrapped,
            config=config,
            context=context,
            limits=limits or Limits(),
            tls=tls() if tls is not None else None,
            identify=identify,
        )
        connections.add(connection)
        try:
            await connection.run()
        finally:
            connections.discard(connection)
            if not connections:
                empty.set()

    async with trio.open_nursery() as nursery:
        try:
            async with trio.open_nursery() as accepting:
                await accepting.start(
                    partial(trio.serve_listeners, handle, [listener], handler_nursery=nursery)
                )
                task_status.started()
                await drain.wait()
                accepting.cancel_scope.cancel()
            await context.terminated.set()
            for connection in list(connections):
                connection.drain()
            with trio.move_on_after(drain_timeout):
                while connections:
                    empty = trio.Event()
                    await empty.wait()
        finally:
            # A send is shielded from cancellation and ends only when its stream is closed.
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                for connection in list(connections):
                    await connection.abort()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("ordermgmt.net")
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    return config
