"""An application whose requests are known by an id, counted, timed, and told to the log: one line for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope, Scope

from ordermgmt.net.app_stream import STARTS
from ordermgmt.net.app_tasks import is_gone
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
        measurement = _Measurement(service, request, observe)

        async def watch(event: ASGISendEvent) -> None:
            if event["type"] in STARTS:
                started: Any = event
                measurement.begin(started["status"])
                if public:
                    started["headers"] = [*started["headers"], (_FIELD, request.id.encode())]
            await send(event)

        outcome: Outcome = "cancelled"
        working = begin_request(request)
        try:
            await app(scope, receive, watch)
            outcome = "cancelled" if is_gone(scope) else "failed"
        except Exception:
            outcome = "failed"
            raise
        finally:
            end_request(working)
            measurement.end(outcome)

    return watched


class _Measurement:
    """One request, from its head to its line in the log."""

    __slots__ = ("_observe", "_request", "_seconds", "_service", "_start", "_status")

    def __init__(self, service: str, request: RequestContext, observe: ObserveRequest) -> None:
        self._service = service
        self._request = request
        self._observe = observe
        self._start = trio.current_time()
        self._seconds = 0.0
        self._status = 0

    def begin(self, status: int) -> None:
        """Note that the answer begins."""
        self._status = status
        self._take_time(outcome_of(status))

    def end(self, outcome: Outcome) -> None:
        """Tell the log how it went; `outcome` is what it was if there was no answer."""
        if self._status:
            level = "warning" if self._status >= 500 else "info"
            self._tell(level, "answered", "status", self._status)
        else:
            self._take_time(outcome)
            self._tell("warning" if outcome == "failed" else "info", "unanswered", "outcome", outcome)

    def _take_time(self, outcome: Outcome) -> None:
        self._seconds = trio.current_time() - self._start
        self._observe(self._request.method, self._request.route, self._seconds, outcome)

    def _tell(self, level: str, event: str, name: str, value: int | str) -> None:
        fields = {name: value, "seconds": round(self._seconds, 6), **self._request.fields()}
        write_line(self._service, level, event, fields)


def _sent_id(scope: HTTPScope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == _FIELD:
            return value
    return None
