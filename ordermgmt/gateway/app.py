"""HTTP of the gateway: every route of the table, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from quart import Response, request
from quart_trio import QuartTrio

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.gateway.contract import ROUTES, Route
from ordermgmt.gateway.operations import Forwarder, Request
from ordermgmt.ids import is_order_id
from ordermgmt.inventory.contract import is_name
from ordermgmt.net.app import new_app, read_body
from ordermgmt.security.bearer import bearer_token
from ordermgmt.security.guard import Guard, public, require

__all__ = ["create_app"]

MAX_QUERY = 2048
_PARAMETERS: dict[str, Callable[[str], bool]] = {
    "order_id": is_order_id,
    "operation_id": is_order_id,
    "category": is_name,
    "code": is_name,
}


def create_app(forwarder: Forwarder, guard: Guard) -> QuartTrio:
    """Make the application. What is behind it decides who may do what; the gateway only demands a good token."""
    app = new_app("gateway")
    for route in ROUTES:
        for methods, policy, authenticated in (
            (route.authenticated, require(), True),
            (route.public, public, False),
        ):
            if methods:
                name = f"{'authenticated' if authenticated else 'public'} {route.path}"
                view = policy(_view(forwarder, route, authenticated=authenticated))
                app.add_url_rule(route.path, name, view, methods=methods)
    guard.protect(app)
    return app


def _view(forwarder: Forwarder, route: Route, *, authenticated: bool) -> Callable[..., Awaitable[Response]]:
    async def view(**parameters: str) -> Response:
        answer = await forwarder.forward(
            Request(
                route=route,
                method=request.method,
                target=_target(route, parameters),
                headers={name.lower(): ", ".join(request.headers.getlist(name)) for name, _ in request.headers},
                content=await read_body(),
                subject_token=bearer_token(request.headers.getlist("authorization")) if authenticated else None,
            )
        )
        response = Response(answer.content, answer.status, dict(answer.headers))
        if "content-type" not in answer.headers:
            del response.headers["content-type"]
        if not answer.content and (request.method == "HEAD" or answer.status == HTTPStatus.NOT_MODIFIED):
            # A length here would have to be that of the GET (RFC 9110 section 8.6).
            del response.headers["content-length"]
        return response

    return view


def _target(route: Route, parameters: dict[str, str]) -> str:
    """Build path and query from the route and checked names: no text of the client's can lead elsewhere."""
    path = route.path
    for name, value in parameters.items():
        if not _PARAMETERS[name](value):
            raise NotFound("no-such-path", f"there is nothing at {request.path}")
        path = path.replace(f"<{name}>", value)
    query: bytes = request.query_string
    if not query:
        return path
    if len(query) > MAX_QUERY:
        raise InvalidRequest("query-too-long", f"the query is over {MAX_QUERY} bytes")
    return f"{path}?{query.decode('ascii')}"
