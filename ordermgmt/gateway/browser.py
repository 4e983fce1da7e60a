"""What the gateway says to browsers: their session, signing in and out, and the pages.

A session is a cookie that no script can read and no other site can send. What changes something must also say so in a
header that no other site can send, and where it comes from, as far as browsers tell (Fetch Metadata).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit

from markupsafe import escape
from quart import Response, g, request

from ordermgmt.errors import CrossSite, Error, InvalidRequest, MethodNotAllowed, Unauthenticated, Unavailable
from ordermgmt.gateway.contract import (
    API_PREFIX,
    CALLBACK_PATH,
    CSRF_HEADER,
    LOGIN_COOKIE,
    LOGIN_PATH,
    LOGOUT_PATH,
    SESSION_COOKIE,
    SESSION_PATH,
    WATCHED_PATHS,
    SessionView,
    User,
)
from ordermgmt.gateway.portal import Portal
from ordermgmt.gateway.sessions import Session
from ordermgmt.gateway.sign_in import LoginRefused
from ordermgmt.ids import new_id
from ordermgmt.net.app import App, json_response
from ordermgmt.security.guard import public
from ordermgmt.security.principal import Principal
from ordermgmt.sts.contract import OIDC_SCOPES
from ordermgmt.telemetry.requests import current_request

__all__ = ["add_browser_routes", "authenticate_session", "current_session"]

View = Callable[..., Awaitable[Response]]

SAFE = frozenset({"GET", "HEAD"})
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), payment=(), usb=()"
    ),
    "referrer-policy": "no-referrer",
}
HSTS = "max-age=31536000"
BROWSER_PATHS = (API_PREFIX, SESSION_PATH)


def add_browser_routes(app: App, portal: Portal) -> None:
    """Add the routes, and what holds for all of them: call it before the guard is put on."""
    for path in portal.files.pages:
        app.add_url_rule(path, f"page {path}", public(_page(portal)), methods=["GET"])
    app.add_url_rule("/assets/<name>", "asset", public(_page(portal)), methods=["GET"])
    app.add_url_rule(SESSION_PATH, "session", public(_show_session(portal)), methods=["GET"])
    app.add_url_rule(LOGIN_PATH, "login", public(_begin(portal)), methods=["GET"])
    app.add_url_rule(CALLBACK_PATH, "callback", public(_finish(portal)), methods=["GET"])
    app.add_url_rule(LOGOUT_PATH, "logout", public(_log_out(portal)), methods=["POST"])
    own, hsts = portal.origin, _hsts(portal.origin)

    @app.before_request
    async def check_source() -> None:
        """Look at every path of browsers, also where there is no route: none can be forgotten."""
        if _is_of(request.path, API_PREFIX):
            known = current_request()
            g.request_id = new_id(portal.entropy) if known is None else known.id
        if request.method not in SAFE and any(_is_of(request.path, prefix) for prefix in BROWSER_PATHS):
            _check_source(own)

    @app.after_request
    async def say_what_pages_may(response: Response) -> Response:
        of_browser = any(_is_of(request.path, prefix) for prefix in BROWSER_PATHS)
        if of_browser:
            response.headers["cache-control"] = "no-store"
        if of_browser or request.path in portal.files.pages or _is_of(request.path, "/assets"):
            response.headers.update(HEADERS)
            if hsts:
                response.headers["strict-transport-security"] = hsts
        return response


async def authenticate_session(portal: Portal) -> Principal:
    """Return whose session the current request is of. Raises Unauthenticated.

    It counts as use, unless a page asked by itself: with that, a page that is left open would keep its session.
    """
    cookie = read_cookie(SESSION_COOKIE)
    if request.url_rule is not None and request.url_rule.rule in WATCHED_PATHS:
        found = await portal.sessions.find(cookie)
        if found is None:
            raise Unauthenticated("no-session")
        session = found
    else:
        session = await portal.sessions.use(cookie)
    g.session = session
    return Principal(
        iss=session.issuer,
        sub=session.subject,
        scopes=session.scopes,
        name=session.preferred_username,
        full_name=session.name,
        sid=session.sid or None,
    )


def current_session() -> Session:
    """Return the session of the current request. Only a view that requires one may ask: else RuntimeError."""
    session = g.get("session")
    if not isinstance(session, Session):
        msg = "this view requires no session"
        raise RuntimeError(msg)  # noqa: TRY004 - the view is wrong, not a type
    return session


def read_cookie(name: str) -> str:
    """Return a cookie of the current request; nothing if it came twice, as then one of them is somebody else's."""
    pairs = [pair.strip().partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";")]
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else ""


def _is_of(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _check_source(own: str) -> None:
    """Raise CrossSite unless a change was asked for by a page of ours. What browsers say about it is never optional."""
    sent = request.headers
    if sent.getlist(CSRF_HEADER) != ["1"]:
        raise CrossSite("csrf", f"what changes something is sent with {CSRF_HEADER}: 1")
    if any(origin != own for origin in sent.getlist("origin")):
        raise CrossSite("csrf", "it was sent by a page of another origin")
    if any(site != "same-origin" for site in sent.getlist("sec-fetch-site")):
        raise CrossSite("csrf", "it was sent by a page of another site")


def _page(portal: Portal) -> View:
    async def page(name: str = "") -> Response:  # noqa: ARG001 - it is the last part of the path
        return portal.files.answer(request.path)

    return page


def _show_session(portal: Portal) -> View:
    async def show_session() -> Response:
        session = await portal.sessions.find(read_cookie(SESSION_COOKIE))
        if session is None:
            return json_response({"signed_in": False})
        user = User(session.subject, session.name, session.preferred_username)
        scopes = sorted(session.scopes - OIDC_SCOPES)
        return json_response(SessionView(user, scopes, int(session.idle_until), int(session.ends_at)))

    return show_session


def _begin(portal: Portal) -> View:
    async def begin() -> Response:
        _only_get()
        wanted = request.args.getlist("return_to") or ["/"]
        if len(wanted) > 1:
            raise InvalidRequest("invalid-return-to", "return_to is repeated")
        try:
            begun = await portal.sign_ins.begin(wanted[0], read_cookie(SESSION_COOKIE))
        except Unavailable as error:
            return _try_again(error)
        response = Response(b"", 303, {"location": begun.location})
        _set_cookie(response, LOGIN_COOKIE, begun.cookie, "Lax", portal.sign_ins.seconds)
        return response

    return begin


def _finish(portal: Portal) -> View:
    async def finish() -> Response:
        _only_get()
        try:
            finished = await portal.sign_ins.finish(_query(), read_cookie(LOGIN_COOKIE))
        except (LoginRefused, Unavailable) as error:
            return _try_again(error)
        # No redirect: one that began at another site would go on without the Strict cookie.
        target = escape(finished.return_to)
        response = _html(
            200,
            "Signed in",
            f'<p>You are signed in. <a href="{target}">Go on</a>.</p>',
            f'<meta http-equiv="refresh" content="0;url={target}">',
        )
        _set_cookie(response, SESSION_COOKIE, finished.cookie, "Strict")
        _set_cookie(response, LOGIN_COOKIE, "", "Lax", 0)
        return response

    return finish


def _log_out(portal: Portal) -> View:
    async def log_out() -> Response:
        location = await portal.sessions.end(read_cookie(SESSION_COOKIE))
        response = json_response({"location": location})
        _set_cookie(response, SESSION_COOKIE, "", "Strict", 0)
        _set_cookie(response, LOGIN_COOKIE, "", "Lax", 0)
        return response

    return log_out


def _only_get() -> None:
    """Raise MethodNotAllowed for HEAD: whoever only looks must not use a login up."""
    if request.method != "GET":
        raise MethodNotAllowed("method-not-allowed", f"{request.path} does not take HEAD", allow=("GET",))


def _query() -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.query_string.decode("ascii"), keep_blank_values=True, max_num_fields=64)
    except ValueError as error:
        raise LoginRefused("malformed-query") from error


def _set_cookie(response: Response, name: str, value: str, same_site: str, max_age: int | None = None) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite=same_site)


def _try_again(error: LoginRefused | Error) -> Response:
    """Tell a user that it is not signed in. Why exactly is for the log: whoever sent the answer may be an impostor."""
    again = f'<p><a href="{LOGIN_PATH}?{urlencode({"return_to": "/"})}">Try again</a></p>'
    if isinstance(error, Error):
        text = "Signing in is not possible just now. Wait a moment."
        response = _html(error.status, "Not now", f"<p>{text}</p>{again}")
        response.headers["retry-after"] = str(error.retry_after or 1)
        return response
    text = "This sign-in did not work: it took too long, was answered before, or began in another browser."
    return _html(400, "You are not signed in", f"<p>{text}</p>{again}")


def _html(status: int, title: str, body: str, head: str = "") -> Response:
    """Return a small page. `body` and `head` are HTML: what came from outside is escaped by who puts it there."""
    document = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n{head}\n</head>\n'
        f"<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return Response(document, status, content_type="text/html; charset=utf-8")


def _hsts(origin: str) -> str:
    """Return the policy, or nothing for a name of this machine: it would lock other ports of it out, too."""
    host = urlsplit(origin).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return ""
    try:
        return "" if ip_address(host).is_loopback else HSTS
    except ValueError:
        return HSTS
