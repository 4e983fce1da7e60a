"""Hypercorn's side of a request, which also takes a whole answer in one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

__all__ = ["ANSWER", "STARTS", "AppStream"]

ANSWER = "ordermgmt.answer"
"""Type of an ASGI message that is a whole answer: `status`, `headers` and `body` as in the two that it stands for.
For who has found the `INBOX` in the scope: then it is ours that take it."""
STARTS = frozenset({"http.response.start", ANSWER})
"""Types of messages that have the status of an answer."""


class Respond(Protocol):
    """Writes a whole answer. Raises ValueError for one that could not be told from another."""

    async def __call__(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Write it."""
        ...


class AppStream(HTTPStream):
    """One request. With `respond`, a whole answer goes there, and not through the events for its parts."""

    respond: Respond | None = None

    async def app_send(self, message: Any) -> None:
        """Take a message from the application."""
        if message is None or message["type"] != ANSWER:
            await super().app_send(message)
        elif self.respond is None:
            start: Any = {**message, "type": "http.response.start"}
            await super().app_send(start)
            await super().app_send({"type": "http.response.body", "body": message["body"], "more_body": False})
        elif self.state is ASGIHTTPState.REQUEST:
            await self.respond(message["status"], message["headers"], message["body"])
            self.state = ASGIHTTPState.CLOSED
            await self.send(StreamClosed(stream_id=self.stream_id))
