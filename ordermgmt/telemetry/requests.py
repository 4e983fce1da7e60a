"""What is known of the request that the current task works for: every line of the log within it says so.

It is found out step by step: the server knows the method, the guard the route, the caller and the principal. Tasks that
a request starts work for it, too, also those that outlive it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass

from ordermgmt.telemetry.edges import known_method
from ordermgmt.telemetry.trace import current_span, name_by_route

__all__ = [
    "REQUEST_ID",
    "UNMATCHED",
    "RequestContext",
    "begin_request",
    "current_request",
    "end_request",
    "note_code",
    "note_principal",
    "note_route",
]

REQUEST_ID = "x-request-id"
"""The header that takes the id of a request from one service to the next."""
UNMATCHED = "unmatched"
"""Instead of a route: the request is to none. Its path is the client's text, and may hold anything."""

_ID = re.compile(rb"[A-Za-z0-9_-]{22}")


@dataclass(slots=True)
class RequestContext:
    """One request. Nothing of it is a secret, nor a path or a query that a client has made up."""

    id: str
    method: str
    route: str = UNMATCHED
    """The template, such as `/order/<order_id>`."""
    caller: str | None = None
    """Who the other end of the connection is, by its certificate."""
    iss: str | None = None
    sub: str | None = None
    act: str | None = None
    jti: str | None = None
    code: str | None = None
    """Why it was refused, or failed."""

    @classmethod
    def of(cls, method: str, sent: bytes | None, new_id: Callable[[], str]) -> RequestContext:
        """Begin one, with the id that was `sent` if that looks like one of ours."""
        known = sent is not None and _ID.fullmatch(sent) is not None
        return cls(sent.decode("ascii") if known and sent is not None else new_id(), known_method(method))

    def fields(self) -> dict[str, str]:
        """Return what a line of the log says of it, with the ids of the span of the current task."""
        found = {"request_id": self.id, "method": self.method, "route": self.route}
        if (span := current_span()) is not None:
            found["trace_id"], found["span_id"] = span.trace_id, span.span_id
        if self.caller is not None:
            found["caller"] = self.caller
        if self.sub is not None:
            found["iss"] = self.iss or ""
            found["sub"] = self.sub
            if self.act is not None:
                found["act"] = self.act
            if self.jti is not None:
                found["jti"] = self.jti
        if self.code is not None:
            found["code"] = self.code
        return found


_current: ContextVar[RequestContext | None] = ContextVar("_current", default=None)


def current_request() -> RequestContext | None:
    """Return the request that the current task works for; None if it works for none."""
    return _current.get()


def note_route(method: str, route: str) -> None:
    """Let the log, the metrics and the trace say which route the current request is to: its template, one of a few."""
    request = _current.get()
    if request is not None:
        request.route = route
    name_by_route(method, route)


def note_principal(iss: str, sub: str, *, act: str | None = None, jti: str | None = None) -> None:
    """Let the log say who the current request, if there is one, comes from: proven, if not yet allowed."""
    request = _current.get()
    if request is not None:
        request.iss, request.sub, request.act, request.jti = iss, sub, act, jti


def note_code(code: str) -> None:
    """Let the log say why the current request, if there is one, is refused or fails."""
    request = _current.get()
    if request is not None:
        request.code = code


def begin_request(request: RequestContext) -> Token[RequestContext | None]:
    """Have the current task, and those that it starts from now on, work for this request, until `end_request`."""
    return _current.set(request)


def end_request(begun: Token[RequestContext | None]) -> None:
    """Have the current task work for what it did before."""
    _current.reset(begun)
