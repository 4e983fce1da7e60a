"""HTTP of the gateway: every route of the table, for tokens and for sessions, and the pages; nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from quart import Response, g, request

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.gateway import operations
from ordermgmt.gateway.browser import add_browser_routes, current_session
from ordermgmt.gateway.contract import API_PREFIX, FORWARDED_HEADERS, PATH_PATH, ROUTES, Route
from ordermgmt.gateway.operate_app import add_operate_routes
from ordermgmt.gateway.operations import Forwarder, Request
from ordermgmt.gateway.portal import Portal
from ordermgmt.gateway.watch import Watch
from ordermgmt.ids import is_order_id
from ordermgmt.inventory.contract import is_name
from ordermgmt.net.app import new_app
from ordermgmt.net.call import Answer, Call, Endpoint
from ordermgmt.net.limits import MAX_BODY
from ordermgmt.net.short_cut import ShortCut, view_of
from ordermgmt.security.bearer import bearer_token
from ordermgmt.security.guard import Guard, public, require, require_session
from ordermgmt.sts.contract import OPERATE

__all__ = ["create_app"]

MAX_QUERY = 2048
NO_SNIFFING = [("x-content-type-options", "nosniff")]
"""On every answer: none is to be taken for something else than it says."""
_FORWARDED = [(name, name.encode()) for name in FORWARDED_HEADERS]
_PARAMETERS: Mapping[str, Callable[[str], bool]] = {
    "order_id": is_order_id,
    "operation_id": is_order_id,
    "session_id": is_order_id,
    "category": is_name,
    "code": is_name,
}

Forward = Callable[[Request], Awaitable[operations.Answer]]
Token = Callable[[Call], str | None]


def create_app(forwarder: Forwarder, portal: Portal, watch: Watch, guard: Guard) -> ShortCut:
    """Make the application. What is behind it decides who may do what; the gateway only demands a good token.

    Behind `API_PREFIX` it demands a session instead, of every route. What is for browsers goes the long way: rules of
    theirs hold for all of it, and are kept there.
    """
    app = new_app("gateway")
    short_cut = ShortCut(app, guard, max_body=MAX_BODY, fields=NO_SNIFFING)

    async def forward_of_session(asked: Request) -> operations.Answer:
        session = current_session()
        if asked.route.watched:
            return await portal.api.forward(asked, session)
        with portal.trails.following(g.request_id, asked.method, asked.target, session) as status:
            answer = await portal.api.forward(asked, session)
            status.append(answer.status)
        return answer

    async def confirm_session() -> None:
        await portal.api.confirm(current_session())

    async def what_just_happened(request_id: str) -> Response:
        return Response(portal.trails.find(request_id, current_session()), content_type="application/json")

    for route in ROUTES:
        for methods, policy, token in (
            (route.authenticated, require(), _sent_token),
            (route.public, public, _no_token),
        ):
            if methods:
                endpoint = policy(_endpoint(forwarder.forward, route, token))
                short_cut.route(route.path, *methods)(endpoint)
        view = require_session()(view_of(_endpoint(forward_of_session, route, _no_token)))
        app.add_url_rule(f"{API_PREFIX}{route.path}", f"session {route.path}", view, methods=route.methods)
    app.add_url_rule(PATH_PATH, "path", require_session()(what_just_happened), methods=["GET"])
    add_operate_routes(app, watch, "", require(OPERATE), forwarder.forward, _token_of_request, _confirmed)
    add_operate_routes(
        app, watch, API_PREFIX, require_session(OPERATE), forward_of_session, lambda: None, confirm_session
    )
    add_browser_routes(app, portal)
    guard.protect(app)
    return short_cut


def _sent_token(call: Call) -> str | None:
    return bearer_token(call.values(b"authorization"))


async def _confirmed() -> None:
    """Do nothing: the guard has had the token exchanged."""


def _token_of_request() -> str | None:
    return bearer_token(request.headers.getlist("authorization"))


def _no_token(_: Call) -> str | None:
    return None


def _endpoint(forward: Forward, route: Route, token: Token) -> Endpoint:
    async def endpoint(call: Call) -> Answer:
        answer = await forward(
            Request(
                route=route,
                method=call.method,
                target=_target(route, call),
                headers={name: ", ".join(values) for name, raw in _FORWARDED if (values := call.values(raw))},
                content=await call.read(),
                subject_token=token(call),
            )
        )
        bare = not answer.content and (call.method == "HEAD" or answer.status == HTTPStatus.NOT_MODIFIED)
        return Answer(answer.status, list(answer.headers.items()), None if bare else answer.content)

    return endpoint


def _target(route: Route, call: Call) -> str:
    """Build path and query from the route and checked names: no text of the client's can lead elsewhere."""
    path = route.path
    for name, value in call.parameters.items():
        if not _PARAMETERS[name](value):
            raise NotFound("no-such-path", f"there is nothing at {call.path}")
        path = path.replace(f"<{name}>", value)
    if not call.query:
        return path
    if len(call.query) > MAX_QUERY:
        raise InvalidRequest("query-too-long", f"the query is over {MAX_QUERY} bytes")
    return f"{path}?{call.query.decode('ascii')}"
