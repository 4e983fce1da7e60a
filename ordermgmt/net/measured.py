"""An application whose requests are known by an id, counted, timed, and told to the log: one line for each."""

from __future__ import annotations

from collections.abc import Callable

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope, Scope

from ordermgmt.telemetry.edges import ObserveRequest, Outcome, outcome_of
from ordermgmt.telemetry.logs import write_line
from ordermgmt.telemetry.requests import REQUEST_ID, RequestContext, begin_request, end_request

__all__ = ["measured"]

_FIELD = REQUEST_ID.encode()


def measured(
    app: ASGIFramework, service: str, observe: ObserveRequest, new_id: Callable[[], str], *, public: bool = False
) -> ASGIFramework:
    """Return `app`, of whose HTTP requests `observe` is told: the seconds until the answer begins, or there is none.

    Whatever runs for a request within `app` does so in its `RequestContext`. A request has the id that its sender gave
    it; in a `public` service it has one of its own, which the answer says. An answer that streams for hours has begun,
    too; its line comes at its end.
    """

    async def watched(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = RequestContext.of(scope["method"], None if public else _sent_id(scope), new_id)
        start = trio.current_time()
        outcome: Outcome = "cancelled"
        status = 0

        def begun(how: Outcome) -> float:
            seconds = trio.current_time() - start
            observe(request.method, request.route, seconds, how)
            return seconds

        seconds = 0.0

        async def watch(event: ASGISendEvent) -> None:
            nonlocal status, seconds
            if not status and event["type"] == "http.response.start":
                status = event["status"]
                seconds = begun(outcome_of(status))
                if public:
                    event["headers"] = [*event["headers"], (_FIELD, request.id.encode())]
            await send(event)

        working = begin_request(request)
        try:
            await app(scope, receive, watch)
            outcome = "failed"
        except Exception:
            outcome = "failed"
            raise
        finally:
            end_request(working)
            if status:
                _tell(service, request, "answered", status, seconds)
            else:
                _tell(service, request, "unanswered", outcome, begun(outcome))

    return watched


def _sent_id(scope: HTTPScope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == _FIELD:
            return value
    return None


def _tell(service: str, request: RequestContext, event: str, outcome: int | str, seconds: float) -> None:
    name, level = ("status", "info") if event == "answered" else ("outcome", "warning")
    write_line(service, level, event, {name: outcome, "seconds": round(seconds, 6), **request.fields()})
