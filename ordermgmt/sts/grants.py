"""The grants, on Authlib's core. It is synchronous and does no I/O here: all that it may look up was read before."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    BaseGrant,
    ClientMixin,
    TokenEndpointMixin,
)
from authlib.oauth2.rfc6749.errors import UnauthorizedClientError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from ordermgmt.security.scopes import parse_scope
from ordermgmt.sts.contract import (
    ACCESS_TOKEN_TYPE,
    AUDIENCES,
    CLIENT_CREDENTIALS,
    INVALID_CLIENT,
    INVALID_REQUEST,
    INVALID_SCOPE,
    INVALID_TARGET,
    JWT_TYPE,
    TOKEN_EXCHANGE,
    TOKEN_PATH,
    UNAUTHORIZED_CLIENT,
    UNSUPPORTED_GRANT_TYPE,
    OAuthError,
)
from ordermgmt.sts.domain import Authority, choose_target, exchange, for_itself
from ordermgmt.sts.mint import Issued, Mint
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["AUTH_METHODS", "GRANT_TYPES", "Snapshot", "decide"]

AUTH_METHODS = ("client_secret_basic", "tls_client_auth")
GRANT_TYPES = (CLIENT_CREDENTIALS, TOKEN_EXCHANGE)

_DESCRIPTIONS: Mapping[str, str] = {
    INVALID_CLIENT: "the client could not be authenticated",
    UNAUTHORIZED_CLIENT: "this client may not use that grant",
    UNSUPPORTED_GRANT_TYPE: "that grant is not offered",
}
_NOBODY = hashlib.sha256().hexdigest()
"""What the secret of an unknown client is compared with, so that the answer takes the same time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found for a request: the client that it names, and what its opaque subject token says."""

    client: Client | None
    subject: Authority | None = None


def decide(request: TokenRequest, snapshot: Snapshot, rules: Rules, mint: Mint, now: float) -> Issued:
    """Answer a token request. Raises OAuthError."""
    if not request.get("grant_type"):
        raise OAuthError(INVALID_REQUEST, "grant_type is missing")
    issued: Issued = _Server(snapshot, rules, mint, now).create_token_response(_Request(request, rules))
    return issued


class _Request(OAuth2Request):  # type: ignore[misc]
    """A token request in the shape that Authlib reads."""

    def __init__(self, sent: TokenRequest, rules: Rules) -> None:
        super().__init__("POST", rules.issuer + TOKEN_PATH)
        self.payload = BasicOAuth2Payload(dict(sent.parameters))
        self.sent = sent


class _Client(ClientMixin):  # type: ignore[misc]
    """A client in the shape that Authlib asks."""

    def __init__(self, registered: Client) -> None:
        self.registered = registered

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002
        return method == ("tls_client_auth" if self.registered.certificate_uri else "client_secret_basic")


class _Server(AuthorizationServer):  # type: ignore[misc]
    """The core, made for one request: what it is given is all that it knows."""

    def __init__(self, snapshot: Snapshot, rules: Rules, mint: Mint, now: float) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.rules = rules
        self.mint = mint
        self.now = now
        self.register_grant(_ClientCredentials)
        self.register_grant(_TokenExchange)
        self.register_client_auth_method("client_secret_basic", _by_secret)
        self.register_client_auth_method("tls_client_auth", _by_certificate)

    def query_client(self, client_id: str) -> _Client | None:
        client = self.snapshot.client
        return _Client(client) if client is not None and client.id == client_id else None

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody."""

    def handle_response(self, status: int, body: Any, headers: Any) -> Any:  # noqa: ARG002
        return body

    def handle_error_response(self, request: _Request, error: OAuth2Error) -> Any:  # noqa: ARG002
        raise OAuthError(error.error, _DESCRIPTIONS.get(error.error, "the request is refused")) from error


Query = Callable[[str], _Client | None]


def _by_secret(query_client: Query, request: _Request) -> _Client | None:
    """RFC 6749 section 2.3.1. Client secrets are random, so a plain digest of them will do."""
    if request.sent.secret is None:
        return None
    client = query_client(request.sent.client_id)
    expected = client.registered.secret_digest if client is not None else ""
    digest = hashlib.sha256(request.sent.secret.encode()).hexdigest()
    same = hmac.compare_digest(digest, expected or _NOBODY)
    return client if same and expected else None


def _by_certificate(query_client: Query, request: _Request) -> _Client | None:
    """RFC 8705 section 2.1: `client_id` says which client, its certificate's URI proves it."""
    if request.sent.secret is not None or not request.sent.certificate_uri:
        return None
    client = query_client(request.sent.client_id)
    return client if client is not None and client.registered.certificate_uri == request.sent.certificate_uri else None


class _Grant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """What the grants share. Authlib's own client_credentials grant would write tokens to its debug log."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: _Server
    request: _Request

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if self.GRANT_TYPE not in client.registered.grants:
            raise UnauthorizedClientError
        self.request.client = client

    def create_token_response(self) -> tuple[int, Issued, list[tuple[str, str]]]:
        return 200, self.issue(self.request.client.registered, self.request.sent), []

    def issue(self, client: Client, sent: TokenRequest) -> Issued:
        raise NotImplementedError

    def thumbprint(self, client: Client) -> str:
        """Return the thumbprint that the client authenticated with, or nothing if it did with a secret."""
        return self.request.sent.thumbprint if client.certificate_uri else ""


class _ClientCredentials(_Grant):
    """RFC 6749 section 4.4. With `resource` (RFC 8707) a JWT for that service, without it an opaque token."""

    GRANT_TYPE = CLIENT_CREDENTIALS

    def issue(self, client: Client, sent: TokenRequest) -> Issued:
        rules, now, thumbprint = self.server.rules, self.server.now, self.thumbprint(client)
        target = choose_target((), sent.resources, rules.resources) or AUDIENCES.get(client.default_audience)
        opaque = target is not None and target.name == client.default_audience
        own_lifetime = rules.bound_token_lifetime if thumbprint else rules.exchanged_token_lifetime
        authority = for_itself(
            client,
            target,
            issuer=rules.issuer,
            now=now,
            lifetime=rules.access_token_lifetime if opaque else own_lifetime,
            scopes=_scopes(sent),
            thumbprint=thumbprint,
        )
        return self.server.mint.opaque(authority, now) if opaque else self.server.mint.jwt(authority, now)


class _TokenExchange(_Grant):
    """RFC 8693."""

    GRANT_TYPE = TOKEN_EXCHANGE

    def issue(self, client: Client, sent: TokenRequest) -> Issued:
        rules, now = self.server.rules, self.server.now
        wanted = sent.get("requested_token_type") or ACCESS_TOKEN_TYPE
        if not sent.get("subject_token") or sent.get("subject_token_type") != ACCESS_TOKEN_TYPE:
            raise OAuthError(INVALID_REQUEST, "subject_token and a subject_token_type of access_token are required")
        if sent.get("actor_token") or sent.get("actor_token_type"):
            raise OAuthError(INVALID_REQUEST, "actor_token is not offered: the client itself is the actor")
        if wanted not in {ACCESS_TOKEN_TYPE, JWT_TYPE}:
            raise OAuthError(INVALID_REQUEST, "that requested_token_type is not offered")
        target = choose_target(sent.audiences, sent.resources, rules.resources)
        if target is None:
            raise OAuthError(INVALID_TARGET, "one audience or resource is required")
        subject = self.server.snapshot.subject or self.server.mint.read(
            sent.get("subject_token"), rules.issuer, client.id, now, self.thumbprint(client)
        )
        if subject is None:
            raise OAuthError(INVALID_REQUEST, "the subject_token is not valid")
        authority = exchange(
            subject,
            client,
            target,
            now=now,
            lifetime=rules.exchanged_token_lifetime,
            scopes=_scopes(sent),
            thumbprint=self.thumbprint(client),
        )
        return self.server.mint.jwt(authority, now, issued_token_type=wanted)


def _scopes(sent: TokenRequest) -> frozenset[str] | None:
    if not sent.get("scope"):
        return None
    try:
        return parse_scope(sent.get("scope"))
    except ValueError as error:
        raise OAuthError(INVALID_SCOPE, "the scope is malformed") from error
