"""The browser that a request comes from: its cookies, its address, and whether it sends a form that it was shown."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl

from quart import Response, request

from ordermgmt.errors import InvalidRequest, NotFound
from ordermgmt.net.admission import address_key
from ordermgmt.sts.contract import BROWSER_COOKIE
from ordermgmt.sts.page import came_from_here, form_token

__all__ = [
    "check_form",
    "client_address",
    "drop_cookie",
    "read_cookie",
    "read_query",
    "read_request_id",
    "see_other",
    "set_cookie",
]

BROWSER_LIFETIME = 365 * 86400
"""Seconds that a browser is remembered after its last login."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def check_form(form: Sequence[tuple[str, str]], origin: str, browser: str, *purpose: str) -> None:
    """Make sure that a form comes from a page of `origin`, and that this browser was shown it for this purpose.

    Raises InvalidRequest.
    """
    if not came_from_here(request.headers.get("origin"), request.headers.get("sec-fetch-site"), origin):
        raise InvalidRequest("foreign-form", "the form was sent from another site")
    fields = dict(form)
    if len(fields) != len(form):
        raise InvalidRequest("invalid-form", "a field is repeated")
    token = form_token(browser, *purpose)
    if not browser or not hmac.compare_digest(fields.get("token", "").encode(), token.encode()):
        raise InvalidRequest("stale-form", "this form is not of this browser, or too old; cookies have to be allowed")


def read_request_id() -> str:
    """Return which authorization request a page is about. Raises NotFound if that cannot be one."""
    text = request.args.get("request", "")
    if not _REQUEST_ID.fullmatch(text):
        raise NotFound("no-such-request", "there is no such request")
    return text


def client_address() -> str:
    """Return what the client surely owns: its IPv4 address, or its IPv6 network. Empty without a network."""
    client = request.scope.get("client")
    return address_key(client[0]) if client else ""


def read_cookie(name: str) -> str:
    """Return a cookie, or nothing."""
    return request.cookies.get(name, "")


def set_cookie(response: Response, name: str, value: str) -> None:
    """Give the browser a cookie; that of the session goes when the browser is closed, that of the browser stays."""
    max_age = BROWSER_LIFETIME if name == BROWSER_COOKIE else None
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax")


def drop_cookie(response: Response, name: str) -> None:
    """Take a cookie away."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")


def see_other(location: str) -> Response:
    """Send the browser on, with GET."""
    headers = {
        "location": location,
        "cache-control": "no-store",
        "pragma": "no-cache",
        "referrer-policy": "no-referrer",
    }
    return Response(b"", 303, headers)


def read_query() -> list[tuple[str, str]]:
    """Return the parameters of the query, in order. Raises InvalidRequest."""
    query = request.query_string
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=64,
        )
    except ValueError as error:
        raise InvalidRequest("invalid-query", "the query is not a form") from error
