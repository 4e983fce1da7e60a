"""Authlib's core, made for one request: who the client is and which grant answers it.

It is synchronous and does no I/O here: all that it may look up was read before.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
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
from ordermgmt.sts.authorization import Code
from ordermgmt.sts.contract import (
    INVALID_CLIENT,
    INVALID_SCOPE,
    INVALID_TARGET,
    TOKEN_PATH,
    UNAUTHORIZED_CLIENT,
    UNSUPPORTED_GRANT_TYPE,
    OAuthError,
)
from ordermgmt.sts.domain import Authority, choose_target, for_client
from ordermgmt.sts.family import Family
from ordermgmt.sts.mint import Issued, Mint, Outcome
from ordermgmt.sts.registration import Client
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.token_request import TokenRequest

__all__ = ["AUTH_METHODS", "CLIENT_SECRET_BASIC", "NONE", "TLS_CLIENT_AUTH", "Core", "Grant", "Snapshot", "scopes_of"]

CLIENT_SECRET_BASIC, TLS_CLIENT_AUTH, NONE = "client_secret_basic", "tls_client_auth", "none"
AUTH_METHODS = (CLIENT_SECRET_BASIC, TLS_CLIENT_AUTH)
"""How confidential clients authenticate. Public ones do not: NONE."""

_DESCRIPTIONS: Mapping[str, str] = {
    INVALID_CLIENT: "the client could not be authenticated",
    UNAUTHORIZED_CLIENT: "this client may not use that grant",
    UNSUPPORTED_GRANT_TYPE: "that grant is not offered",
}
_NOBODY = hashlib.sha256().hexdigest()
"""What the secret of an unknown client is compared with, so that the answer takes the same time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found for a request: the client that it names, and what its tokens and codes say."""

    client: Client | None
    subject: Authority | None = None
    """Of its subject_token, if that is good for the client."""
    code: Code | None = None
    family: Family | None = None
    """Of its refresh_token."""


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
        if self.registered.public:
            return method == NONE
        return method == (TLS_CLIENT_AUTH if self.registered.certificate_uri else CLIENT_SECRET_BASIC)


class Core(AuthorizationServer):  # type: ignore[misc]
    """The core, made for one request: what it is given is all that it knows."""

    def __init__(
        self, snapshot: Snapshot, rules: Rules, mint: Mint, now: float, grants: Sequence[type[Grant]] = ()
    ) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.rules = rules
        self.mint = mint
        self.now = now
        for grant in grants:
            self.register_grant(grant)
        self.register_client_auth_method(CLIENT_SECRET_BASIC, _by_secret)
        self.register_client_auth_method(TLS_CLIENT_AUTH, _by_certificate)
        self.register_client_auth_method(NONE, _by_nothing)

    def answer(self, sent: TokenRequest) -> Outcome:
        """Answer a token request. Raises OAuthError."""
        outcome: Outcome = self.create_token_response(_Request(sent, self.rules))
        return outcome

    def recognize(self, sent: TokenRequest, methods: Sequence[str]) -> Client:
        """Return the client of a request to another endpoint if it authenticates so. Raises OAuthError."""
        try:
            client: _Client = self.authenticate_client(_Request(sent, self.rules), methods)
        except OAuth2Error as error:
            raise _refusal(error) from error
        return client.registered

    def query_client(self, client_id: str) -> _Client | None:
        """Return the client, if it is the one that was found."""
        client = self.snapshot.client
        return _Client(client) if client is not None and client.id == client_id else None

    def create_oauth2_request(self, request: _Request) -> _Request:
        """Return it as it is: it was made for this."""
        return request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody."""

    def handle_response(self, status: int, body: Any, headers: Any) -> Any:  # noqa: ARG002
        """Return the outcome and nothing else."""
        return body

    def handle_error_response(self, request: _Request, error: OAuth2Error) -> Any:  # noqa: ARG002
        """Turn an error of Authlib's into one of ours."""
        raise _refusal(error) from error


def _refusal(error: OAuth2Error) -> OAuthError:
    return OAuthError(error.error, _DESCRIPTIONS.get(error.error, "the request is refused"))


Query = Callable[[str], _Client | None]


def _by_secret(query_client: Query, request: _Request) -> _Client | None:
    """RFC 6749 section 2.3.1. Client secrets are random, so a plain digest of them will do."""
    if request.sent.secret is None:
        return None
    client = query_client(request.sent.client_id)
    expected = client.registered.secret_digest if client is not None else ""
    digest = hashlib.sha256(request.sent.secret.reveal().encode()).hexdigest()
    same = hmac.compare_digest(digest, expected or _NOBODY)
    return client if same and expected else None


def _by_certificate(query_client: Query, request: _Request) -> _Client | None:
    """RFC 8705 section 2.1: `client_id` says which client, its certificate's URI proves it."""
    if request.sent.secret is not None or not request.sent.certificate_uri:
        return None
    client = query_client(request.sent.client_id)
    return client if client is not None and client.registered.certificate_uri == request.sent.certificate_uri else None


def _by_nothing(query_client: Query, request: _Request) -> _Client | None:
    """RFC 6749 section 2.1: a public client says which one it is, and that is all."""
    return None if request.sent.secret is not None else query_client(request.sent.client_id)


class Grant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """What the grants share. Authlib's own grants would write tokens and codes to their debug log."""

    TOKEN_ENDPOINT_AUTH_METHODS: Sequence[str] = AUTH_METHODS
    server: Core
    request: _Request

    def validate_token_request(self) -> None:
        """Find out who the client is, and whether it may use this grant."""
        client = self.authenticate_token_endpoint_client()
        if self.GRANT_TYPE not in client.registered.grants:
            raise UnauthorizedClientError
        self.request.client = client

    def create_token_response(self) -> tuple[int, Outcome, list[tuple[str, str]]]:
        """Answer as Authlib wants it."""
        return 200, self.issue(self.request.client.registered, self.request.sent), []

    def issue(self, client: Client, sent: TokenRequest) -> Outcome:
        """Decide what the client gets. Raises OAuthError."""
        raise NotImplementedError

    def give_access(self, client: Client, family: Family, sent: TokenRequest) -> Issued:
        """Make an access token of a family: opaque for the client's default audience, else a JWT for its target.

        The request may name the target again, but not another one (RFC 8707 section 2.2), and fewer scopes. Raises
        OAuthError.
        """
        rules, mint, now, thumbprint = self.server.rules, self.server.mint, self.server.now, self.thumbprint(client)
        named = choose_target((), sent.resources, rules.resources)
        if named is not None and named.name != family.authority.audience:
            raise OAuthError(INVALID_TARGET, "the authorization is for another target")
        opaque = family.authority.audience == client.default_audience
        authority = for_client(
            family.authority,
            now=now,
            lifetime=rules.access_token_lifetime if opaque else rules.exchanged_token_lifetime,
            scopes=scopes_of(sent),
            thumbprint="" if opaque else thumbprint,
        )
        return mint.opaque(authority, now) if opaque else mint.jwt(authority, now)

    def thumbprint(self, client: Client) -> str:
        """Return the thumbprint that the client authenticated with, or nothing if it did with a secret."""
        return self.request.sent.thumbprint if client.certificate_uri else ""


def scopes_of(sent: TokenRequest) -> frozenset[str] | None:
    """Return the scopes that a request names, or None. Raises OAuthError."""
    if not sent.get("scope"):
        return None
    try:
        return parse_scope(sent.get("scope"))
    except ValueError as error:
        raise OAuthError(INVALID_SCOPE, "the scope is malformed") from error
