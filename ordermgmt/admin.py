"""The admin listener's app: is this process alive, are its services ready, what do they do. Plain HTTP, plain ASGI.

It answers while everything else is broken, so it needs nothing but the loop and the board. It tells states, reasons
and figures to whoever asks: keep its listener on loopback or a private network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, LifespanScope, Scope, WebsocketScope

from ordermgmt.supervision.child import one_line
from ordermgmt.supervision.health import Board, Check, Health, Probes, Snapshot, State, unready_reason
from ordermgmt.telemetry import metrics
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure, Meter

__all__ = ["CHECK_SECONDS", "AdminApp", "Report", "assess", "create_admin_app", "measure"]

CHECK_SECONDS = 1.0
"""What one service's readiness check, or the reading of its figures, may take; all of them run at once."""

AdminApp = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]
Answer = tuple[HTTPStatus, object]
Report = Callable[[], bytes]
"""Returns a JSON document."""


class ServiceReadiness(msgspec.Struct, frozen=True):
    """One service on the wire; `reason` is null exactly if it is ready, `pid` while it has no process."""

    state: str
    pid: int | None
    restarts: int
    reason: str | None


class SuiteReadiness(msgspec.Struct, frozen=True):
    """All services of this supervisor on the wire, by name."""

    ready: bool
    services: dict[str, ServiceReadiness]


SUPERVISOR = "supervisor"
"""Whose figures those of this process are: in one-process mode it is that of all services."""


def create_admin_app(
    board: Board, probes: Probes, reports: Mapping[str, Report] | None = None, process: Meter | None = None
) -> AdminApp:
    """Make the ASGI app: GET and HEAD of /healthz, /readyz, /readyz/<service> and /metrics.

    A service without a check is ready when it runs. 200 means alive or ready, 503 not ready. Errors are problem
    documents (RFC 9457). `reports` are other documents by their path; they have entity tags. `process` reads the
    figures of this process.
    """
    reports = reports or {}

    async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if path in reports and method in {"GET", "HEAD"}:
                await _report(scope, send, reports[path]())
            else:
                answer = await _answer(method, path, board, probes, reports, process)
                await _respond(send, *answer, head=method == "HEAD")
        else:
            await _without_request(scope, receive, send)

    return app


async def _answer(
    method: str, path: str, board: Board, probes: Probes, reports: Mapping[str, Report], process: Meter | None
) -> Answer:
    services = board.snapshot()
    service = path.removeprefix("/readyz/")
    if path not in {"/healthz", "/readyz", "/metrics", *reports} and (service == path or service not in services):
        return _problem(HTTPStatus.NOT_FOUND)
    if method not in {"GET", "HEAD"}:
        return _problem(HTTPStatus.METHOD_NOT_ALLOWED)
    if path == "/healthz":
        return HTTPStatus.OK, {"status": "alive"}
    if path == "/metrics":
        figures = await measure(services, probes.meters)
        own = {} if process is None else {SUPERVISOR: await process()}
        return HTTPStatus.OK, metrics.render({**own, **figures})
    if path == "/readyz":
        report = await assess(services, probes.checks)
        ready = all(one.reason is None for one in report.values())
        return _status(ready=ready), SuiteReadiness(ready, report)
    one = (await assess({service: services[service]}, probes.checks))[service]
    return _status(ready=one.reason is None), one


async def assess(services: Mapping[str, Health], readiness: Mapping[str, Check]) -> dict[str, ServiceReadiness]:
    """Ask all services at once whether they are ready, for at most `CHECK_SECONDS`."""
    reasons: dict[str, str | None] = {}

    async def ask(name: str, health: Health) -> None:
        reasons[name] = f"its readiness check took longer than {CHECK_SECONDS:g} s"
        with trio.move_on_after(CHECK_SECONDS):
            try:
                reasons[name] = await unready_reason(health, readiness.get(name))
            except Exception as error:  # noqa: BLE001 - whatever a check raises is the reason that it did not pass
                reasons[name] = f"its readiness check failed: {one_line(error)}"

    async with trio.open_nursery() as nursery:
        for name, health in services.items():
            nursery.start_soon(ask, name, health)
    return {
        name: ServiceReadiness(str(health.state), health.pid, health.restarts, reasons[name])
        for name, health in services.items()
    }


async def measure(services: Snapshot, meters: Mapping[str, Meter]) -> dict[str, Sequence[Figure]]:
    """Read the figures of all services that run. One that cannot tell its own still has those of its life."""
    figures: dict[str, Sequence[Figure]] = {}

    async def ask(name: str, health: Health) -> None:
        own: Sequence[Figure] = ()
        meter = meters.get(name)
        up = health.state is State.RUNNING
        if up and meter is not None:
            up = False
            with trio.move_on_after(CHECK_SECONDS):
                try:
                    own = await meter()
                    up = True
                except Exception as error:  # noqa: BLE001 - whatever it raises, the others have figures
                    get_logger(name).error("figures-failed", reason=one_line(error))
        figures[name] = (
            Figure("ordermgmt_service_up", "gauge", "Whether the service runs and tells its figures.", up),
            Figure("ordermgmt_service_restarts_total", "counter", "Restarts after a crash.", health.restarts),
            *own,
        )

    async with trio.open_nursery() as nursery:
        for name, health in services.items():
            nursery.start_soon(ask, name, health)
    return {name: figures[name] for name in services}


def _status(*, ready: bool) -> HTTPStatus:
    return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE


def _problem(status: HTTPStatus) -> Answer:
    return status, {"type": "about:blank", "title": status.phrase, "status": int(status)}


async def _respond(send: ASGISendCallable, status: HTTPStatus, value: object, *, head: bool) -> None:
    """Send bytes as the metrics that they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    problem = status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    content_type = metrics.CONTENT_TYPE if body is value else "application/json"
    headers = [
        (b"content-type", b"application/problem+json" if problem else content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": int(status), "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})


async def _report(scope: HTTPScope, send: ASGISendCallable, body: bytes) -> None:
    """Send a document, or 304 to who has it already (RFC 9110 section 13.1.2)."""
    tag = f'"{sha256(body).hexdigest()[:32]}"'.encode()
    known = [value for name, value in scope["headers"] if name == b"if-none-match"]
    headers = [(b"etag", tag), (b"cache-control", b"no-store")]
    status = HTTPStatus.NOT_MODIFIED if tag in known else HTTPStatus.OK
    if status is HTTPStatus.OK:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": int(status), "headers": headers, "trailers": False})
    sent = body if status is HTTPStatus.OK and scope["method"] == "GET" else b""
    await send({"type": "http.response.body", "body": sent, "more_body": False})


async def _without_request(
    scope: LifespanScope | WebsocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer the server's start and stop, and refuse a WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": None})
        return
    while True:
        event: Any = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif event["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
