"""An application whose requests have spans."""

from __future__ import annotations

from typing import Any

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from ordermgmt.net.app_stream import STARTS
from ordermgmt.net.app_tasks import is_gone
from ordermgmt.telemetry.trace import BeginSpan, Span

__all__ = ["traced"]


def traced(app: ASGIFramework, begin: BeginSpan) -> ASGIFramework:
    """Return `app`, of whose HTTP requests each is worked on in the span that `begin` makes for it.

    It ends with the answer, or when the application gives up because its client is gone: then it is cancelled.
    """

    async def in_span(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        with begin(scope["method"], list(scope["headers"])) as span:
            if span.recorded:
                await _watched(app, span, scope, receive, send)
            else:
                await app(scope, receive, send)

    return in_span


async def _watched(
    app: ASGIFramework, span: Span, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    async def watch(event: ASGISendEvent) -> None:
        if event["type"] in STARTS:
            started: Any = event
            span.answered(started["status"])
        await send(event)

    await app(scope, receive, watch)
    if span.outcome is None:
        if is_gone(scope):
            span.conclude("cancelled", "cancelled")
        else:
            span.conclude("failed", "no-answer")
