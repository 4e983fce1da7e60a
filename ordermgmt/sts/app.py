"""The token service over HTTP, the same on both listeners: what differs is whether there is a client certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from quart import Response, request

from ordermgmt.errors import InvalidRequest, UnsupportedMediaType
from ordermgmt.net.app import App, json_response, new_app, read_form
from ordermgmt.security.guard import Guard, current_principal, public, require, require_caller
from ordermgmt.security.peer import Peer
from ordermgmt.sts.browser_app import Portal, add_pages
from ordermgmt.sts.contract import (
    GUIDE_JWKS_PATH,
    INTROSPECT_PATH,
    INVALID_REQUEST,
    JWKS_PATH,
    READ_REVOCATIONS,
    REVOCATIONS_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    USERINFO_PATH,
    ErrorResponse,
    OAuthError,
)
from ordermgmt.sts.operate_app import add_operations
from ordermgmt.sts.operations import TokenService, claims_of
from ordermgmt.sts.revocations import RevocationFeed
from ordermgmt.sts.signing_key import SigningKeys
from ordermgmt.sts.token_request import TokenRequest, read_token_request
from ordermgmt.telemetry.requests import note_code

__all__ = ["MAX_BODY", "create_app"]

MAX_BODY = 32 * 1024
"""Bytes of a token request: a subject token of 8 KiB, form-encoded, and room for the rest."""
Document = Callable[[], Mapping[str, Any]]
PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 section 5.1
STREAM = {"cache-control": "no-store", "content-type": "application/x-ndjson"}
MAX_DIGITS = 18
"""Of a number in the database."""
PUBLIC = {"cache-control": "public, max-age=300"}


def create_app(
    tokens: TokenService,
    portal: Portal,
    keys: SigningKeys,
    documents: Mapping[str, Document],
    *,
    feed: RevocationFeed,
    callers: Mapping[str, frozenset[str]],
    guide_jwks: Mapping[str, Any] | None = None,
) -> App:
    """Make the application. `documents` are made anew for each answer, by path. `callers` may follow `feed`.

    `guide_jwks` is served as it is: nothing here trusts its keys.
    """
    app = new_app("sts", max_body=MAX_BODY)
    _add_token_endpoints(app, tokens)
    add_pages(app, portal)
    add_operations(app, keys, portal.sessions)
    _add_revocations(app, feed)
    _add_documents(app, tokens, {**documents, **({} if guide_jwks is None else {GUIDE_JWKS_PATH: lambda: guide_jwks})})
    app.register_error_handler(OAuthError, _render)
    Guard(None, tokens.authenticate, "sts", callers=callers, bound=False).protect(app)
    return app


def _add_token_endpoints(app: App, tokens: TokenService) -> None:
    @app.post(TOKEN_PATH)
    @public
    async def token() -> Response:
        return json_response(await tokens.issue_token(await _read_request()), headers=PRIVATE)

    @app.post(INTROSPECT_PATH)
    @public
    async def introspect() -> Response:
        return json_response(await tokens.introspect(await _read_request()), headers=PRIVATE)

    @app.post(REVOKE_PATH)
    @public
    async def revoke() -> Response:
        await tokens.revoke(await _read_request())
        return Response(b"", 200, dict(PRIVATE))

    @app.route(USERINFO_PATH, methods=["GET", "POST"])
    @require("openid")
    async def userinfo() -> Response:
        return json_response(claims_of(current_principal()), headers=PRIVATE)


def _add_documents(app: App, tokens: TokenService, documents: Mapping[str, Document]) -> None:
    @app.get(JWKS_PATH)
    @public
    async def jwks() -> Response:
        return json_response(tokens.jwks(), headers=PUBLIC)

    @public
    async def document() -> Response:
        return json_response(documents[request.path](), headers=PUBLIC)

    for path in documents:
        app.add_url_rule(path, view_func=document, methods=["GET"])


def _add_revocations(app: App, feed: RevocationFeed) -> None:
    @app.get(REVOCATIONS_PATH)
    @require_caller(READ_REVOCATIONS)
    async def revocations() -> Response:
        epoch, after = request.args.get("epoch", ""), request.args.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > MAX_DIGITS:
            raise InvalidRequest("invalid-after", "after is the number of a revocation")
        if request.method == "HEAD":
            return Response(b"", 200, headers=dict(STREAM))
        ends_at = request.scope.get("state", {}).get("ends_at", inf)
        response = Response(feed.lines(epoch, int(after), ends_at), 200, headers=dict(STREAM))
        response.timeout = None  # it ends by itself
        return response


async def _read_request() -> TokenRequest:
    if request.query_string:
        raise OAuthError(INVALID_REQUEST, "parameters belong into the body, not into the URL")
    try:
        form = await read_form()
    except (InvalidRequest, UnsupportedMediaType) as error:
        raise OAuthError(INVALID_REQUEST, "the body is not a form (application/x-www-form-urlencoded)") from error
    peer = request.scope.get("state", {}).get("peer")
    uri, thumbprint = (peer.uri or "", peer.thumbprint) if isinstance(peer, Peer) else ("", "")
    return read_token_request(
        form, request.headers.getlist("authorization"), certificate_uri=uri, thumbprint=thumbprint
    )


async def _render(error: OAuthError) -> Response:
    """Render a refusal (RFC 6749 section 5.2); the challenge is what RFC 9110 section 15.5.2 wants of any 401."""
    note_code(error.error)
    headers = dict(PRIVATE)
    if error.status == 401:
        headers["www-authenticate"] = 'Basic realm="sts"'
    return json_response(ErrorResponse(error.error, error.description), error.status, headers)
