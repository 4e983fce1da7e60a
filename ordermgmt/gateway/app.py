"""HTTP of the gateway: every route of the table, for tokens and for sessions, and the pages; nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from quart import Response, g, request

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.gateway.browser import add_browser_routes, current_session
from ordermgmt.gateway.contract import API_PREFIX, PATH_PATH, ROUTES, Route
from ordermgmt.gateway.operate_app import add_operate_routes
from ordermgmt.gateway.operations import Answer, Forwarder, Request
from ordermgmt.gateway.portal import Portal
from ordermgmt.gateway.watch import Watch
from ordermgmt.ids import is_order_id
from ordermgmt.inventory.contract import is_name
from ordermgmt.net.app import App, new_app, read_body
from ordermgmt.security.bearer import bearer_token
from ordermgmt.security.guard import Guard, public, require, require_session
from ordermgmt.sts.contract import OPERATE

__all__ = ["create_app"]

MAX_QUERY = 2048
_PARAMETERS: dict[str, Callable[[str], bool]] = {
    "order_id": is_order_id,
    "operation_id": is_order_id,
    "session_id": is_order_id,
    "category": is_name,
    "code": is_name,
}

Forward = Callable[[Request], Awaitable[Answer]]
Token = Callable[[], str | None]


def create_app(forwarder: Forwarder, portal: Portal, watch: Watch, guard: Guard) -> App:
    """Make the application. What is behind it decides who may do what; the gateway only demands a good token.

    Behind `API_PREFIX` it demands a session instead, of every route.
    """
    app = new_app("gateway")

    async def forward_of_session(asked: Request) -> Answer:
        session = current_session()
        if asked.route.watched:
            return await portal.api.forward(asked, session)
        with portal.trails.following(g.request_id, asked.method, asked.target, session) as status:
            answer = await portal.api.forward(asked, session)
            status.append(answer.status)
        return answer

    async def what_just_happened(request_id: str) -> Response:
        return Response(portal.trails.find(request_id, current_session()), content_type="application/json")

    for route in ROUTES:
        for methods, policy, token in (
            (route.authenticated, require(), _sent_token),
            (route.public, public, _no_token),
        ):
            if methods:
                name = f"{'public' if policy is public else 'authenticated'} {route.path}"
                app.add_url_rule(route.path, name, policy(_view(forwarder.forward, route, token)), methods=methods)
        view = require_session()(_view(forward_of_session, route, _no_token))
        app.add_url_rule(f"{API_PREFIX}{route.path}", f"session {route.path}", view, methods=route.methods)
    app.add_url_rule(PATH_PATH, "path", require_session()(what_just_happened), methods=["GET"])
    add_operate_routes(app, watch, "", require(OPERATE), forwarder.forward, _sent_token)
    add_operate_routes(app, watch, API_PREFIX, require_session(OPERATE), forward_of_session, _no_token)
    add_browser_routes(app, portal)
    guard.protect(app)
    return app


def _sent_token() -> str | None:
    return bearer_token(request.headers.getlist("authorization"))


def _no_token() -> str | None:
    return None


def _view(forward: Forward, route: Route, token: Token) -> Callable[..., Awaitable[Response]]:
    async def view(**parameters: str) -> Response:
        answer = await forward(
            Request(
                route=route,
                method=request.method,
                target=_target(route, parameters),
                headers={name.lower(): ", ".join(request.headers.getlist(name)) for name, _ in request.headers},
                content=await read_body(),
                subject_token=token(),
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
