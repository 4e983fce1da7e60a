"""What the token service says on the wire: paths, parameters, grants, audiences, scopes, errors, answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from ordermgmt.telemetry.secrets import Unshown

__all__ = [
    "ACCESS_TOKEN_TYPE",
    "AUDIENCE",
    "AUDIENCES",
    "AUTHORIZATION_CODE",
    "AUTHORIZE_PATH",
    "BROWSER_COOKIE",
    "CLIENT_CREDENTIALS",
    "CONSENT_PATH",
    "GATEWAY_CALLBACK_PATH",
    "GUIDE_JWKS_PATH",
    "INTROSPECT_PATH",
    "JWKS_PATH",
    "JWT_TYPE",
    "KEY_FILE",
    "LOGIN_PATH",
    "LOGOUT_PATH",
    "METADATA_PATH",
    "OIDC_SCOPES",
    "OPENID_METADATA_PATH",
    "OPERATE",
    "OPERATE_KEYS_PATH",
    "OPERATE_SESSIONS_PATH",
    "ORDER_SCOPES",
    "READ_REVOCATIONS",
    "REFRESH_TOKEN",
    "REVOCATIONS_PATH",
    "REVOKE_PATH",
    "REVOKE_SESSION_PATH",
    "ROTATE_KEYS_PATH",
    "SCOPE_WORDS",
    "SERVICE_SCOPES",
    "SESSION_COOKIE",
    "STYLE_PATH",
    "TOKEN_EXCHANGE",
    "TOKEN_PATH",
    "USERINFO_PATH",
    "Audience",
    "ErrorResponse",
    "KeyList",
    "KeyStatus",
    "OAuthError",
    "SessionList",
    "SessionStatus",
    "TokenResponse",
    "client_subject",
    "is_opaque_token",
    "is_refresh_token",
    "service_resource",
]

AUDIENCE = "sts"
"""Of tokens for the token service itself: for operators."""

TOKEN_PATH = "/oauth2/token"  # noqa: S105 a path
JWKS_PATH = "/oauth2/jwks"
METADATA_PATH = "/.well-known/oauth-authorization-server"
GUIDE_JWKS_PATH = "/guide/jwks"
OPENID_METADATA_PATH = "/.well-known/openid-configuration"
AUTHORIZE_PATH = "/oauth2/authorize"
INTROSPECT_PATH = "/oauth2/introspect"
REVOKE_PATH = "/oauth2/revoke"
USERINFO_PATH = "/oauth2/userinfo"
REVOCATIONS_PATH = "/revocations"
"""For services that hold a certificate: what was revoked, as lines that keep coming (docs/revocation.md)."""
LOGIN_PATH = "/login"
CONSENT_PATH = "/consent"
"""Pages for a user: `?request=<id>` says which authorization request waits for it."""
LOGOUT_PATH = "/logout"
STYLE_PATH = "/style.css"
GATEWAY_CALLBACK_PATH = "/session/callback"
"""Where the gateway, a client of this service, takes its users back."""

OPERATE_KEYS_PATH = "/operate/keys"
ROTATE_KEYS_PATH = "/operate/keys/rotate"
OPERATE_SESSIONS_PATH = "/operate/sessions"
REVOKE_SESSION_PATH = "/operate/sessions/<session_id>/revoke"

KEY_FILE = "sts-key"
"""In the folder of the databases: what the signing keys are encrypted with, see `security/key_file.py`."""

SESSION_COOKIE = "__Host-sts-session"
"""Secure; HttpOnly; SameSite=Lax; Path=/ (RFC 6265bis). Its name is not another service's: ports share cookies."""
BROWSER_COOKIE = "__Host-sts-browser"
"""Likewise. Tells browsers apart, logged in or not: forms are bound to it, and it stays after a logout."""

AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 a name
CLIENT_CREDENTIALS = "client_credentials"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 a name (RFC 8693 section 2.1)
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a name (RFC 8693 section 3)
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"

ACCESS_DENIED = "access_denied"
CONSENT_REQUIRED = "consent_required"
INVALID_GRANT = "invalid_grant"
INVALID_REQUEST = "invalid_request"
INVALID_CLIENT = "invalid_client"
INVALID_SCOPE = "invalid_scope"
INVALID_TARGET = "invalid_target"
LOGIN_REQUIRED = "login_required"
REGISTRATION_NOT_SUPPORTED = "registration_not_supported"
REQUEST_NOT_SUPPORTED = "request_not_supported"
REQUEST_URI_NOT_SUPPORTED = "request_uri_not_supported"
UNAUTHORIZED_CLIENT = "unauthorized_client"
UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type"  # noqa: S105 an error code (RFC 7009 section 2.2.1)

OPERATE = "operate"
ORDER_SCOPES = frozenset({"add_order", "update_order", "cancel_order", "read_all_orders", OPERATE})
"""What users, and clients for themselves, may do with orders."""
READ_REVOCATIONS = "read_revocations"
"""What a service may do here that follows revocations. No token says it: its certificate is enough."""
SERVICE_SCOPES = frozenset({"read_inventory", "change_inventory", "manage_inventory"})
"""What services may do with stock."""

OIDC_SCOPES = frozenset({"openid", "profile"})
"""What a client may learn of a user (OpenID Connect Core section 5.4); the user has no say in them but its consent."""

SCOPE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "add_order": "create orders",
        "update_order": "change orders",
        "cancel_order": "cancel orders",
        "read_all_orders": "see the orders of everybody",
        "operate": "watch the services, end sessions, renew the signing key, and retry changes of orders",
        "openid": "know who you are",
        "profile": "know your name",
    }
)
"""What scopes that a user can give mean, for the user to read."""

OPAQUE_PREFIX = "oma_"
CODE_PREFIX = "omc_"
REFRESH_PREFIX = "omr_"
_OPAQUE = re.compile(OPAQUE_PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)
_REFRESH = re.compile(REFRESH_PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Audience:
    """A service that tokens are made for."""

    name: str
    scopes: frozenset[str]
    """The most that a token for it can say."""
    user_details: frozenset[str] = frozenset()
    """Which of `name` and `roles` it gets to see of a user, besides `preferred_username`."""
    bound: bool = False
    """Whether it takes only tokens that are bound to a certificate (RFC 8705 section 3)."""
    exchanged: bool = False
    """Whether it takes only tokens that a service got for one of its callers (RFC 8693)."""


AUDIENCES: Mapping[str, Audience] = MappingProxyType(
    {
        audience.name: audience
        for audience in (
            Audience("gateway", ORDER_SCOPES | OIDC_SCOPES),
            Audience("order", ORDER_SCOPES, user_details=frozenset({"name", "roles"})),
            Audience("inventory", SERVICE_SCOPES, bound=True),
            Audience(AUDIENCE, frozenset({OPERATE}), exchanged=True),
        )
    }
)


class TokenResponse(Unshown, msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens that were given (RFC 6749 section 5.1, RFC 8693 section 2.2.1, OpenID Connect Core section 3.1.3.3).

    `expires_in` is in seconds.
    """

    access_token: str
    expires_in: int
    token_type: str = msgspec.field(default_factory=lambda: "Bearer")
    scope: str = ""
    issued_token_type: str = ""
    refresh_token: str = ""
    id_token: str = ""


class KeyStatus(msgspec.Struct, frozen=True):
    """A signing key. Its `state` is next (published), active (signs) or retiring (verifies what it signed).

    `until` is when it leaves this state by schedule, null if only on command. Times are RFC 3339.
    """

    kid: str
    algorithm: str
    state: str
    since: str
    until: str | None


class KeyList(msgspec.Struct, frozen=True):
    """All signing keys, the oldest first."""

    keys: tuple[KeyStatus, ...]


class SessionStatus(msgspec.Struct, frozen=True):
    """A browser in which `user` has logged in, and the clients that got tokens there. Times are RFC 3339.

    `own` is the session of whoever asks.
    """

    id: str
    user: str
    logged_in: str
    last_used: str
    ends: str
    clients: tuple[str, ...]
    own: bool


class SessionList(msgspec.Struct, frozen=True):
    """Sessions that go on, the last used first; 200 at most."""

    sessions: tuple[SessionStatus, ...]


class ErrorResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request that was refused (RFC 6749 section 5.2)."""

    error: str
    error_description: str = ""


class OAuthError(Exception):
    """A request that the token service refuses.

    `error` is a code of RFC 6749 section 4.1.2.1 or 5.2, or of what extends them. `description` is for the client's
    developer: ASCII without quotes and backslashes, and made of constants, so that it repeats nothing that was sent.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description

    @property
    def status(self) -> int:
        """The status of the answer: 401 for a client that could not be authenticated, else 400."""
        return 401 if self.error == INVALID_CLIENT else 400


def client_subject(client_id: str) -> str:
    """Return the `sub` of tokens that a client got for itself. No user has such a name."""
    return f"client:{client_id}"


def service_resource(trust_domain: str, service: str) -> str:
    """Return the `resource` (RFC 8707) that means a service of the suite wherever it listens: its identity."""
    return f"spiffe://{trust_domain}/{service}"


def is_opaque_token(text: str) -> bool:
    """Tell whether `text` has the form of an opaque access token."""
    return _OPAQUE.fullmatch(text) is not None


def is_refresh_token(text: str) -> bool:
    """Tell whether `text` has the form of a refresh token."""
    return _REFRESH.fullmatch(text) is not None
