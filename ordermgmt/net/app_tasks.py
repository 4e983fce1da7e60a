"""How an application runs for one request: its task, and what it receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope

from ordermgmt.errors import ContentTooLarge
from ordermgmt.telemetry.logs import get_logger

__all__ = ["INBOX", "AppTasks", "Inbox"]

INBOX = "ordermgmt.inbox"
"""Extension of the ASGI scope: the `Inbox` of the request, for who knows it."""

Send = Callable[[ASGISendEvent | None], Awaitable[None]]


class AppTasks:
    """What Hypercorn's streams ask of a task group.

    Nothing that is put to an application waits for it: one that never asks for its body, or for the news that the
    client is gone, holds up nobody. What it has not asked for is at most one body, which the connection bounds.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.running = 0
        """Applications that have not ended, those of clients that are gone included."""

    async def spawn_app(
        self, app: AppWrapper, _: Config, scope: Scope, send: Send
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start the application on one request; return where its events go."""
        inbox = Inbox()
        http: Any = scope
        http["extensions"][INBOX] = inbox
        self.running += 1
        self._nursery.start_soon(self._run, app, scope, inbox, send)
        return inbox.put

    async def _run(self, app: AppWrapper, scope: Scope, inbox: Inbox, send: Send) -> None:
        try:
            await app(scope, inbox.receive, send, _no_threads, _no_threads)
        except* Exception:  # noqa: BLE001 - a fault of the application is an answer of 500, not the end of the connection
            get_logger("net").exception("application-failed")
        finally:
            self.running -= 1
        # None: it has said all that it will say. Without an answer so far this becomes a 500.
        await send(None)

    def spawn(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Start a task that ends with the connection."""
        self._nursery.start_soon(function, *arguments)


class Inbox:
    """The events of one request. Parts of a body that were not asked for yet become one."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._complete = False
        self._news = False
        self._gone = False
        self._changed = trio.Event()
        self._waiting: trio.CancelScope | None = None

    @property
    def gone(self) -> bool:
        """Whether the client is gone."""
        return self._gone

    def when_gone(self, scope: trio.CancelScope | None) -> None:
        """Cancel `scope` when the client is gone, or at once if it is; None: nothing any more."""
        self._waiting = scope
        if self._gone and scope is not None:
            scope.cancel()

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises ContentTooLarge.

        It does not return when the client is gone: see `when_gone`.
        """
        while not self._complete or self._gone:
            self._changed = trio.Event()
            await self._changed.wait()
            if len(self._body) > limit:
                break
        if len(self._body) > limit:
            raise ContentTooLarge("content-too-large", "the body is over the limit")
        return bytes(self._body)

    async def put(self, event: ASGIReceiveEvent) -> None:
        """Take an event for the application."""
        if event["type"] == "http.request":
            self._body += event["body"]
            self._complete = not event["more_body"]
            self._news = True
        else:
            self._gone = True
            if self._waiting is not None:
                self._waiting.cancel()
        self._changed.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Give the application its next event."""
        await trio.lowlevel.checkpoint()
        while not (self._news or self._gone):
            self._changed = trio.Event()
            await self._changed.wait()
        if self._gone:
            return {"type": "http.disconnect"}
        self._news = False
        body = bytes(self._body)
        self._body.clear()
        return {"type": "http.request", "body": body, "more_body": not self._complete}


def is_gone(scope: Any) -> bool:
    """Tell whether the client of a request is gone; of a server that is not ours, that is not known."""
    inbox = scope.get("extensions", {}).get(INBOX)
    return inbox is not None and inbox.gone


def _no_threads(*_: Any) -> None:
    msg = "applications are asynchronous"
    raise RuntimeError(msg)
