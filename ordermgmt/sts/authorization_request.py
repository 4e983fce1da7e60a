"""Reading an authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).

First `read_client` and `check_redirect_uri` prove where an answer may be sent; until then an error is for the user.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ordermgmt.security.scopes import parse_scope
from ordermgmt.sts.authorization import Pending
from ordermgmt.sts.contract import (
    AUDIENCES,
    AUTHORIZATION_CODE,
    INVALID_REQUEST,
    INVALID_SCOPE,
    INVALID_TARGET,
    OIDC_SCOPES,
    ORDER_SCOPES,
    REGISTRATION_NOT_SUPPORTED,
    REQUEST_NOT_SUPPORTED,
    REQUEST_URI_NOT_SUPPORTED,
    SERVICE_SCOPES,
    UNAUTHORIZED_CLIENT,
    UNSUPPORTED_RESPONSE_TYPE,
    OAuthError,
)
from ordermgmt.sts.domain import choose_target
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules

__all__ = ["check_redirect_uri", "read_client", "read_request", "read_state"]

Parameters = Sequence[tuple[str, str]]

MAX_TEXT = 2048
"""Characters of a state, nonce or login_hint."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_TEXT = re.compile(r"[ -~]+")
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?(|[/?][!-~]*)")
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_REFUSED = {
    "request": REQUEST_NOT_SUPPORTED,
    "request_uri": REQUEST_URI_NOT_SUPPORTED,
    "registration": REGISTRATION_NOT_SUPPORTED,
}


def read_client(parameters: Parameters) -> tuple[str, str]:
    """Return client_id and redirect_uri. Raises OAuthError, for the user to see."""
    client_id, redirect_uri = _values(parameters, "client_id"), _values(parameters, "redirect_uri")
    if len(client_id) != 1:
        raise OAuthError(INVALID_REQUEST, "one client_id is required")
    if len(redirect_uri) != 1:
        raise OAuthError(INVALID_REQUEST, "one redirect_uri is required")
    return client_id[0], redirect_uri[0]


def check_redirect_uri(client: Client | None, redirect_uri: str) -> Client:
    """Return the client if it registered this redirect URI (RFC 9700 section 2.1: exactly this).

    Only the port of a public client's URI on a loopback address is free (RFC 8252 section 7.3). Raises OAuthError, for
    the user to see.
    """
    if client is None:
        raise OAuthError(INVALID_REQUEST, "there is no such client")
    if redirect_uri in client.redirect_uris:
        return client
    portless = _portless(redirect_uri)
    if client.public and portless and portless in {_portless(uri) for uri in client.redirect_uris}:
        return client
    raise OAuthError(INVALID_REQUEST, "the client has not registered that redirect_uri")


def read_state(parameters: Parameters) -> str | None:
    """Return the state that goes with every answer, errors too; None if there is none that can be passed on."""
    states = _values(parameters, "state")
    return states[0] if len(states) == 1 and _is_text(states[0]) else None


def read_request(
    parameters: Parameters, client: Client, redirect_uri: str, rules: Rules, *, request_id: str, now: int
) -> Pending:
    """Return what a request asks for. Raises OAuthError, for the client to see at its redirect URI."""
    counts = Counter(name for name, value in parameters if value)
    if any(count > 1 and name != "resource" for name, count in counts.items()):
        raise OAuthError(INVALID_REQUEST, "a parameter is repeated")
    given = {name: value for name, value in parameters if value}
    _check_form(given, client)
    prompts = frozenset(given.get("prompt", "").split())
    if not prompts <= _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise OAuthError(INVALID_REQUEST, "that prompt is not offered")
    return Pending(
        id=request_id,
        client_id=client.id,
        redirect_uri=redirect_uri,
        scopes=_scopes(given.get("scope", ""), client),
        audience=_audience(_values(parameters, "resource"), client, rules),
        code_challenge=given["code_challenge"],
        expires_at=now + rules.authorization_request_lifetime,
        state=read_state(parameters),
        nonce=given.get("nonce"),
        earliest_login=_earliest_login(given.get("max_age"), prompts, now),
        ask_consent="consent" in prompts or _could_be_anybody(client, redirect_uri),
        login_hint=given["login_hint"] if _is_text(given.get("login_hint", "")) else "",
        quiet="none" in prompts,
    )


def _check_form(given: dict[str, str], client: Client) -> None:
    for name, error in _REFUSED.items():
        if name in given:
            raise OAuthError(error, "the request is to be in plain parameters")
    if "response_type" not in given:
        raise OAuthError(INVALID_REQUEST, "response_type is missing")
    if given["response_type"] != "code":
        raise OAuthError(UNSUPPORTED_RESPONSE_TYPE, "the only response_type is code")
    if AUTHORIZATION_CODE not in client.grants:
        raise OAuthError(UNAUTHORIZED_CLIENT, "this client may not use that grant")
    if given.get("response_mode", "query") != "query":
        raise OAuthError(INVALID_REQUEST, "the only response_mode is query")
    if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        raise OAuthError(INVALID_REQUEST, "a code_challenge of the code_challenge_method S256 is required")
    if not all(_is_text(given.get(name, "x")) for name in ("state", "nonce")):
        raise OAuthError(INVALID_REQUEST, "state and nonce are of printable ASCII, and not that long")


def _scopes(text: str, client: Client) -> frozenset[str]:
    """Leave out what nobody here has heard of (OpenID Connect Core section 3.1.2.1), refuse what is another's."""
    if not text:
        return client.scopes_with_users - OIDC_SCOPES
    try:
        asked = parse_scope(text)
    except ValueError as error:
        raise OAuthError(INVALID_SCOPE, "the scope is malformed") from error
    known = asked & (ORDER_SCOPES | SERVICE_SCOPES | OIDC_SCOPES)
    if not known or not known <= client.scopes_with_users:
        raise OAuthError(INVALID_SCOPE, "a scope that is asked for is not available to this client")
    return known


def _audience(resources: Sequence[str], client: Client, rules: Rules) -> str:
    target = choose_target((), resources, rules.resources) or AUDIENCES.get(client.default_audience)
    if target is None or target.name not in {*client.targets, client.default_audience}:
        raise OAuthError(INVALID_TARGET, "this client may not have tokens for that target")
    return target.name


def _earliest_login(max_age: str | None, prompts: frozenset[str], now: int) -> int:
    if max_age is not None and not _MAX_AGE.fullmatch(max_age):
        raise OAuthError(INVALID_REQUEST, "max_age is a number of seconds")
    if prompts & {"login", "select_account"}:
        return now
    return 0 if max_age is None else now - int(max_age)


def _could_be_anybody(client: Client, redirect_uri: str) -> bool:
    """Any program on the user's machine can claim such a URI, so the user is asked each time (RFC 8252 section 8.6)."""
    return client.public and not redirect_uri.startswith("https://")


def _portless(uri: str) -> str:
    match = _LOOPBACK.fullmatch(uri)
    return match[1] + match[2] if match else ""


def _values(parameters: Parameters, name: str) -> list[str]:
    return [value for key, value in parameters if key == name and value]


def _is_text(text: str) -> bool:
    return len(text) <= MAX_TEXT and _TEXT.fullmatch(text) is not None
