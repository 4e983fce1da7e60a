"""An application whose answers are counted and timed."""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from ordermgmt.net.app_stream import STARTS
from ordermgmt.telemetry.edges import Observe, Outcome, outcome_of

__all__ = ["measured"]


def measured(app: ASGIFramework, observe: Observe) -> ASGIFramework:
    """Return `app`, of whose HTTP requests `observe` is told: the seconds until the answer begins, or there is none.

    An answer that streams for hours has begun, too.
    """

    async def watched(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        start = trio.current_time()
        outcome: Outcome = "cancelled"
        waiting = True

        async def watch(event: ASGISendEvent) -> None:
            nonlocal waiting
            if waiting and event["type"] in STARTS:
                waiting = False
                started: Any = event
                observe(trio.current_time() - start, outcome_of(started["status"]))
            await send(event)

        try:
            await app(scope, receive, watch)
            outcome = "failed"
        except Exception:
            outcome = "failed"
            raise
        finally:
            if waiting:
                observe(trio.current_time() - start, outcome)

    return watched
