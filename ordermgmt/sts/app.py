"""The token service over HTTP, the same on both listeners: what differs is whether there is a client certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quart import Response, request

from ordermgmt.errors import InvalidRequest, Unauthenticated, UnsupportedMediaType
from ordermgmt.net.app import App, json_response, new_app, read_form
from ordermgmt.security.guard import Guard, public
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.sts.contract import (
    GUIDE_JWKS_PATH,
    INVALID_REQUEST,
    JWKS_PATH,
    METADATA_PATH,
    TOKEN_PATH,
    ErrorResponse,
    OAuthError,
)
from ordermgmt.sts.operations import TokenService
from ordermgmt.sts.token_request import TokenRequest, read_token_request

__all__ = ["MAX_BODY", "create_app"]

MAX_BODY = 32 * 1024
"""Bytes of a token request: a subject token of 8 KiB, form-encoded, and room for the rest."""
PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 section 5.1
PUBLIC = {"cache-control": "public, max-age=300"}


def create_app(
    operations: TokenService, metadata: Mapping[str, Any], *, guide_jwks: Mapping[str, Any] | None = None
) -> App:
    """Make the application. `guide_jwks` is served as it is: nothing here trusts its keys."""
    app = new_app("sts", max_body=MAX_BODY)

    @app.post(TOKEN_PATH)
    @public
    async def token() -> Response:
        issued = await operations.issue_token(await _read_request())
        return json_response(issued, headers=PRIVATE)

    @app.get(JWKS_PATH)
    @public
    async def jwks() -> Response:
        return json_response(operations.jwks(), headers=PUBLIC)

    @app.get(METADATA_PATH)
    @public
    async def server_metadata() -> Response:
        return json_response(metadata, headers=PUBLIC)

    if guide_jwks is not None:

        @app.get(GUIDE_JWKS_PATH)
        @public
        async def guide_keys() -> Response:
            return json_response(guide_jwks, headers=PUBLIC)

    app.register_error_handler(OAuthError, _render)
    Guard(None, _refuse_token, "sts").protect(app)
    return app


async def _refuse_token(token: str | None, peer: Peer | None) -> Principal:  # noqa: ARG001
    """Accept no token: whoever comes here authenticates as a client, which is the business of the grants."""
    raise Unauthenticated("no-token")


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
    headers = dict(PRIVATE)
    if error.status == 401:
        headers["www-authenticate"] = 'Basic realm="sts"'
    return json_response(ErrorResponse(error.error, error.description), error.status, headers)
