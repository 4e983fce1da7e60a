"""What the token service says to browsers: the authorization endpoint, and the pages to log in, consent and log out.

A request belongs to the browser that is shown its first page, by a cookie; every form says a token that only that
browser can know. A login makes all cookies new, so what somebody knew of a browser before is worth nothing after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from urllib.parse import urlencode

from quart import Response, request

from ordermgmt.errors import Error, InvalidRequest, TooManyRequests, Unavailable
from ordermgmt.net.app import App, read_form
from ordermgmt.security.guard import public
from ordermgmt.sts.authorization import Session, offered_scopes
from ordermgmt.sts.authorize import Authorizations
from ordermgmt.sts.browser import (
    check_form,
    client_address,
    drop_cookie,
    read_cookie,
    read_query,
    read_request_id,
    see_other,
    set_cookie,
)
from ordermgmt.sts.contract import (
    AUTHORIZE_PATH,
    BROWSER_COOKIE,
    CONSENT_PATH,
    LOGIN_PATH,
    LOGOUT_PATH,
    SCOPE_WORDS,
    SESSION_COOKIE,
    STYLE_PATH,
    OAuthError,
)
from ordermgmt.sts.login import Logins
from ordermgmt.sts.logout import Logout, Logouts
from ordermgmt.sts.page import Pages, form_token, origin_of
from ordermgmt.sts.registration import is_user_name
from ordermgmt.sts.sessions import Sessions

__all__ = ["Portal", "add_pages"]

WRONG = "The user name or the password is not right."


@dataclass(frozen=True, slots=True)
class Portal:
    """The verbs behind the pages. `origin` is the one under which browsers see us."""

    origin: str
    authorizations: Authorizations
    sessions: Sessions
    logins: Logins
    logouts: Logouts


def add_pages(app: App, portal: Portal) -> None:
    """Add the routes."""
    pages = Pages()

    def page(path: str, view: Callable[[Portal, Pages], Awaitable[Response]], *methods: str) -> None:
        @wraps(view)
        async def answer() -> Response:
            try:
                return await view(portal, pages)
            except (Error, OAuthError) as error:
                return _explain(pages, error)

        app.add_url_rule(path, view_func=public(answer), methods=list(methods))

    page(AUTHORIZE_PATH, _authorize, "GET", "POST")
    page(LOGIN_PATH, _show_login, "GET")
    page(LOGIN_PATH, _log_in, "POST")
    page(CONSENT_PATH, _show_consent, "GET")
    page(CONSENT_PATH, _consent, "POST")
    page(LOGOUT_PATH, _show_logout, "GET")
    page(LOGOUT_PATH, _log_out, "POST")
    page(STYLE_PATH, _style, "GET")


async def _style(portal: Portal, pages: Pages) -> Response:  # noqa: ARG001 - as views are
    return pages.style()


async def _authorize(portal: Portal, pages: Pages) -> Response:  # noqa: ARG001 - as views are
    parameters = await read_form() if request.method == "POST" else read_query()
    return see_other(await portal.authorizations.begin(parameters, await _session(portal)))


async def _show_login(portal: Portal, pages: Pages) -> Response:
    request_id = read_request_id()
    hint = (await portal.authorizations.pending(request_id)).pending.login_hint
    browser = await portal.logins.bind_request(request_id, read_cookie(BROWSER_COOKIE))
    username = hint if is_user_name(hint) else ""
    response = await _login_page(portal, pages, request_id, browser, 200, username)
    set_cookie(response, BROWSER_COOKIE, browser)
    return response


async def _log_in(portal: Portal, pages: Pages) -> Response:
    request_id, browser, form = await _read_form(portal, "login")
    username, password = form.get("username", ""), form.get("password", "")
    missing = {field: f"Enter your {words}." for field, words in _FIELDS.items() if not form.get(field)}
    if missing:
        return await _login_page(portal, pages, request_id, browser, 422, username, missing)
    try:
        logged_in = await portal.logins.log_in(
            username, password, address=client_address(), browser=browser, previous=read_cookie(SESSION_COOKIE)
        )
    except (TooManyRequests, Unavailable) as error:
        problems = {"password": _wait_text(error)}
        response = await _login_page(portal, pages, request_id, browser, error.status, username, problems)
        response.headers["retry-after"] = str(error.retry_after or 1)
        return response
    if logged_in is None:
        return await _login_page(portal, pages, request_id, browser, 422, username, {"password": WRONG})
    session = await portal.sessions.find_session(logged_in.session)
    response = see_other(await portal.authorizations.continue_authorization(request_id, session))
    set_cookie(response, SESSION_COOKIE, logged_in.session)
    set_cookie(response, BROWSER_COOKIE, logged_in.browser)
    return response


_FIELDS = {"username": "user name", "password": "password"}


async def _login_page(
    portal: Portal,
    pages: Pages,
    request_id: str,
    browser: str,
    status: int,
    username: str,
    problems: dict[str, str] | None = None,
) -> Response:
    waiting = await portal.authorizations.pending(request_id)
    return pages.render(
        "login",
        status,
        leads_to=waiting.pending.redirect_uri,
        client=waiting.client.title,
        action=_page_url(LOGIN_PATH, request_id),
        token=form_token(browser, "login", request_id),
        username=username,
        problems=problems or {},
    )


async def _show_consent(portal: Portal, pages: Pages) -> Response:
    request_id, session = read_request_id(), await _session(portal)
    waiting = await portal.authorizations.pending(request_id)
    if session is None or session.auth_time < waiting.pending.earliest_login:
        return see_other(_page_url(LOGIN_PATH, request_id))
    browser = await portal.logins.bind_request(request_id, read_cookie(BROWSER_COOKIE))
    response = pages.render(
        "consent",
        leads_to=waiting.pending.redirect_uri,
        client=waiting.client.title,
        scopes=[SCOPE_WORDS.get(scope, scope) for scope in sorted(offered_scopes(waiting.pending, session))],
        destination=origin_of(waiting.pending.redirect_uri).removesuffix(":"),
        user=session.user,
        action=_page_url(CONSENT_PATH, request_id),
        login=_page_url(LOGIN_PATH, request_id),
        token=form_token(browser, "consent", request_id, session.sid),
    )
    set_cookie(response, BROWSER_COOKIE, browser)
    return response


async def _consent(portal: Portal, pages: Pages) -> Response:  # noqa: ARG001 - as views are
    session = await _session(portal)
    if session is None:
        return see_other(_page_url(LOGIN_PATH, read_request_id()))
    request_id, _, form = await _read_form(portal, "consent", session.sid)
    if form.get("decision") == "deny":
        return see_other(await portal.authorizations.deny(request_id))
    if form.get("decision") != "allow":
        raise InvalidRequest("invalid-decision", "the decision is neither allow nor deny")
    await portal.authorizations.grant_consent(request_id, session)
    return see_other(await portal.authorizations.continue_authorization(request_id, session))


async def _show_logout(portal: Portal, pages: Pages) -> Response:
    logout, session = await portal.logouts.read(read_query()), await _session(portal)
    if session is None or logout.proven_sid == session.sid:
        return await _end(portal, pages, logout)
    browser = read_cookie(BROWSER_COOKIE) or portal.logins.new_browser()
    response = pages.render(
        "logout",
        leads_to=logout.destination,
        client=logout.client.title if logout.client is not None and logout.destination else "",
        user=session.user,
        action=request.full_path if request.query_string else LOGOUT_PATH,
        token=form_token(browser, "logout", session.sid),
    )
    set_cookie(response, BROWSER_COOKIE, browser)
    return response


async def _log_out(portal: Portal, pages: Pages) -> Response:
    """Log out as the user says, or else take a client's request (section 2), to be looked at like one by GET."""
    form = await read_form()
    session = await _session(portal)
    if "token" not in dict(form):
        return see_other(f"{LOGOUT_PATH}?{urlencode(form)}")
    logout = await portal.logouts.read(read_query())
    if session is not None:
        check_form(form, portal.origin, read_cookie(BROWSER_COOKIE), "logout", session.sid)
    return await _end(portal, pages, logout)


async def _end(portal: Portal, pages: Pages, logout: Logout) -> Response:
    await portal.sessions.end_session(read_cookie(SESSION_COOKIE))
    if logout.destination:
        response = see_other(logout.destination)
    else:
        response = pages.message(200, "You are signed out", "You can close this page.")
    drop_cookie(response, SESSION_COOKIE)
    return response


async def _read_form(portal: Portal, *purpose: str) -> tuple[str, str, dict[str, str]]:
    """Return request, browser and fields of a form that this browser was shown. Raises InvalidRequest or NotFound."""
    request_id, browser = read_request_id(), read_cookie(BROWSER_COOKIE)
    form = await read_form()
    check_form(form, portal.origin, browser, purpose[0], request_id, *purpose[1:])
    await portal.logins.bind_request(request_id, browser)
    return request_id, browser, dict(form)


def _explain(pages: Pages, error: Error | OAuthError) -> Response:
    """Tell a user what went wrong. Nobody is sent anywhere: whoever asked may be an impostor."""
    if isinstance(error, OAuthError):
        return pages.message(
            400, "This link does not work", f"The program that sent you here made a mistake: {error.description}."
        )
    if error.status == 404:
        text = (
            "It was answered already, took too long, or began in another browser."
            " Go back to where you came from and start again."
        )
        response = pages.message(404, "This sign-in is over", text)
    elif error.status < 500:
        response = pages.message(error.status, "That did not work", f"{error.detail[:1].upper()}{error.detail[1:]}.")
    else:
        response = pages.message(
            error.status, "Not now", "Something is busy or out of order here. Try again in a moment."
        )
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    return response


def _wait_text(error: TooManyRequests | Unavailable) -> str:
    seconds = error.retry_after or 1
    if isinstance(error, Unavailable):
        return "Too many people are signing in just now. Try again in a moment."
    amount = f"{seconds} seconds" if seconds != 1 else "1 second"
    if seconds > 90:
        amount = f"{-(-seconds // 60)} minutes"
    return f"Too many sign-ins did not work. Try again in {amount}."


async def _session(portal: Portal) -> Session | None:
    cookie = read_cookie(SESSION_COOKIE)
    return await portal.sessions.find_session(cookie) if cookie else None


def _page_url(path: str, request_id: str) -> str:
    return f"{path}?{urlencode({'request': request_id})}"
