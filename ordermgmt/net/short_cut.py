"""A short way to the endpoints that are asked most: past what a framework does for each request.

An endpoint that is declared here is a route of the application, too. What is plainly a request to it goes straight
there: the same policy, the same function, the same errors. Whatever is odd about a request, such as an escaped path or
a query, goes the long way, so that there is one place that knows about it. Both ways give the same answers: the
contract tests run with `ENABLED` on and off.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple, Protocol

import trio
from quart import Response, g, request
from werkzeug.datastructures import Headers

from ordermgmt.errors import Forbidden, Unauthenticated
from ordermgmt.net import steps
from ordermgmt.net.app import App, one_error, read_body, render_failure
from ordermgmt.net.app_stream import ANSWER
from ordermgmt.net.app_tasks import INBOX, Inbox
from ordermgmt.net.call import Answer, Call, Endpoint
from ordermgmt.telemetry.requests import note_route

__all__ = ["Gate", "ShortCut", "view_of"]

ENABLED = True
"""Whether there is a short way. Tests turn it off."""

_PARAMETER = re.compile(r"<(\w+)>")


class Gate(Protocol):
    """Decides who may use a route, and tells whom it refuses how to ask."""

    async def admit(self, rule: str, method: str, authorization: Sequence[str], peer: Any) -> object:
        """Return who it is, None for a public route. Raises Unauthenticated, Forbidden, Unavailable."""
        ...

    def refuse(self, error: Unauthenticated | Forbidden, rule: str | None, method: str) -> Answer:
        """Answer with a challenge."""
        ...


class _Way(NamedTuple):
    pattern: re.Pattern[bytes]
    rule: str
    endpoint: Endpoint


class ShortCut:
    """An ASGI application in front of `app`, which is given all that is not plainly for one of its endpoints.

    One that `tells_steps` says with each answer what took how long, whichever way it came; see `steps`. It is made
    before the gate guards `app`: then what the gate does is among the steps. `fields` are headers of every answer.
    """

    def __init__(
        self,
        app: App,
        gate: Gate,
        *,
        max_body: int,
        tells_steps: bool = False,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.app = app
        self._fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        self._tells_steps = tells_steps
        self._gate = gate
        self._max_body = max_body
        self._ways: dict[str, list[_Way]] = {}
        if fields:
            _add_fields(app, fields)
        if tells_steps:
            _tell_steps(app)

    def route(self, rule: str, *methods: str) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint to both ways. Its policy goes below this decorator."""

        def declare(endpoint: Endpoint) -> Endpoint:
            self.app.add_url_rule(rule, f"{' '.join(methods)} {rule}", view_of(endpoint), methods=list(methods))
            pattern = re.compile(_PARAMETER.sub(r"(?P<\1>[A-Za-z0-9_-]{1,64})", rule).encode())
            for method in methods:
                self._ways.setdefault(method, []).append(_Way(pattern, rule, endpoint))
            return endpoint

        return declare

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Answer a request, or pass it on."""
        found = self._find(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        way, parameters = found
        inbox: Inbox = scope["extensions"][INBOX]
        call = Call(
            scope["method"], scope["path"], parameters, b"", scope["headers"], partial(inbox.read, self._max_body)
        )
        note_route(call.method, way.rule)
        gathered = steps.gather() if self._tells_steps else None
        # A client that is gone waits for no answer: this ends there as it does in the framework.
        with trio.CancelScope() as gone:
            inbox.when_gone(gone)
            answer = await self._answer(way, call, scope["state"].get("peer"))
            inbox.when_gone(None)
        if gone.cancelled_caught:
            return
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers += self._fields
        if gathered:
            headers.append((steps.HEADER.encode(), steps.render_steps(gathered).encode()))
        if answer.content is not None:
            headers.append((b"content-length", b"%d" % len(answer.content)))
        await send({"type": ANSWER, "status": answer.status, "headers": headers, "body": answer.content or b""})

    def _find(self, scope: Any) -> tuple[_Way, dict[str, str]] | None:
        if not ENABLED or scope["type"] != "http" or scope["query_string"] or INBOX not in scope["extensions"]:
            return None
        path = scope["raw_path"]
        for way in self._ways.get(scope["method"], ()):
            matched = way.pattern.fullmatch(path)
            if matched is not None:
                return way, {name: value.decode("ascii") for name, value in matched.groupdict().items()}
        return None

    async def _answer(self, way: _Way, call: Call, peer: object) -> Answer:
        try:
            call.caller = await self._gate.admit(way.rule, call.method, call.values(b"authorization"), peer)
            return await way.endpoint(call)
        except Exception as error:  # noqa: BLE001 - whatever it is has an answer
            chosen = one_error(error)
            if isinstance(chosen, Unauthenticated | Forbidden):
                return self._gate.refuse(chosen, way.rule, call.method)
            return render_failure(self.app.name, chosen)


def _add_fields(app: App, fields: Sequence[tuple[str, str]]) -> None:
    @app.after_request
    async def add(response: Response) -> Response:
        response.headers.update(fields)
        return response


def _tell_steps(app: App) -> None:
    @app.before_request
    async def gather() -> None:
        g.steps = steps.gather()

    @app.after_request
    async def tell(response: Response) -> Response:
        if g.get("steps"):
            response.headers[steps.HEADER] = steps.render_steps(g.steps)
        return response


def view_of(endpoint: Endpoint) -> Callable[..., Awaitable[Response]]:
    """Make an endpoint a view of the framework; attributes such as its policy go along."""

    @wraps(endpoint)
    async def view(**parameters: str) -> Response:
        fields = list(request.scope["headers"])
        call = Call(
            request.method, request.path, parameters, request.query_string, fields, read_body, g.get("principal")
        )
        answer = await endpoint(call)
        response = Response(answer.content or b"", answer.status, Headers(list(answer.headers)))
        if not any(name == "content-type" for name, _ in answer.headers):
            del response.headers["content-type"]
        if answer.content is None:
            # A length here would have to be that of the answer with content (RFC 9110 section 8.6).
            del response.headers["content-length"]
        return response

    return view
