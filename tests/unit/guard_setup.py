"""A guarded app, somebody who authenticates by a table, and requests as ASGI brings them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quart import Response
from quart_trio import QuartTrio

from ordermgmt.errors import Forbidden, Unauthenticated, Unavailable
from ordermgmt.net.app import new_app
from ordermgmt.security import guard
from ordermgmt.security.guard import Guard, Require, current_principal, public, require
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal

GOOD = "good.token_0-9~+/="
PEER = Peer("order", "spiffe://example/order", "thumb")


class Door:
    """Authenticates by a table, and notes what it was asked."""

    def __init__(self, *scopes: str, bound: bool = False, client_id: str | None = None) -> None:
        self.asked: list[tuple[str | None, Peer | None]] = []
        self.principal = Principal("iss", "alice", frozenset(scopes), bound=bound, client_id=client_id)

    async def __call__(self, token: str | None, peer: Peer | None) -> Principal:
        self.asked.append((token, peer))
        if token is None:
            raise Unauthenticated("no-token")
        if token == "away":
            raise Unavailable("keys-unavailable")
        if token != GOOD:
            raise Unauthenticated("bad-signature", "a detail")
        return self.principal


def sample_app() -> QuartTrio:
    app = new_app("sample")

    @app.get("/plain")
    async def plain() -> str:
        return current_principal().sub

    @app.post("/order")
    @require("add_order")
    async def add() -> Response:
        return Response("made", 201)

    @app.get("/both")
    @require("b", "a")
    async def both() -> str:
        return "both"

    @app.route("/open", methods=["GET", "POST"])
    @public
    async def open_() -> str:
        return "open"

    @app.get("/nobody")
    @public
    async def nobody() -> str:
        return current_principal().sub

    @app.get("/refusing")
    async def refusing() -> str:
        raise Forbidden("not-yours", scope="read_all_orders")

    return app


def guarded(door: Door, *, default: guard.Policy | None = Require(), **options: Any) -> QuartTrio:  # noqa: B008
    app = sample_app()
    Guard(default, door, "order", **options).protect(app)
    return app


async def call(app: QuartTrio, method: str, path: str, peer: Peer | None = None, headers: Sequence[Any] = ()) -> Any:
    """Speak ASGI to the app, since no test client sends a header twice."""
    messages: list[Any] = []
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": None,
        "server": None,
        "extensions": {},
        "state": {"peer": peer},
    }
    requests = iter([{"type": "http.request", "body": f"access_token={GOOD}".encode(), "more_body": False}])

    async def receive() -> Any:
        try:
            return next(requests)
        except StopIteration:
            return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    await app.asgi_app(scope, receive, send)
    return messages


class Answer:
    def __init__(self, messages: list[Any]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


async def ask(app: QuartTrio, method: str, path: str, *authorization: str, peer: Peer | None = None) -> Answer:
    return Answer(await call(app, method, path, peer, [("authorization", value) for value in authorization]))
