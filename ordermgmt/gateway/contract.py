"""Names on the wire of the gateway: its route table is the whole list of what can be reached through it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

__all__ = [
    "API_PREFIX",
    "AUDIENCE",
    "CALLBACK_PATH",
    "CSRF_HEADER",
    "FORWARDED_HEADERS",
    "IDEMPOTENCY_KEY",
    "KEY_FILE",
    "LOGIN_COOKIE",
    "LOGIN_PATH",
    "LOGOUT_PATH",
    "OPENAPI_PATH",
    "PATH_PATH",
    "REQUEST_ID_HEADER",
    "RETURNED_HEADERS",
    "ROUTES",
    "SESSION_COOKIE",
    "SESSION_PATH",
    "Route",
    "SessionView",
    "User",
]

AUDIENCE = "gateway"

API_PREFIX = "/api"
"""In front of every path of the table: the same for the pages of this origin, with a session in place of a token."""
SESSION_PATH = "/session"
LOGIN_PATH = "/session/login"
CALLBACK_PATH = "/session/callback"
LOGOUT_PATH = "/session/logout"
PATH_PATH = "/api/path/<request_id>"
"""What just happened: the way of a request of the same session, by its `REQUEST_ID_HEADER`."""

SESSION_COOKIE = "__Host-gateway-session"
"""Secure; HttpOnly; SameSite=Strict; Path=/ (RFC 6265bis)."""
LOGIN_COOKIE = "__Host-gateway-login"
"""Likewise, but SameSite=Lax: the answer to a login comes from the provider's site. One login, and then it is gone."""
CSRF_HEADER = "x-csrf"
"""Is `1` on all that changes something. No other site can send it, as no preflight of theirs is answered."""
REQUEST_ID_HEADER = "x-request-id"
OPENAPI_PATH = "/openapi.json"

KEY_FILE = "gateway-key"
"""In the folder of the databases: what tokens of sessions are encrypted with, see `security/key_file.py`."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the public API: methods that need a token, methods that do not, and the service behind it."""

    path: str
    upstream: str
    authenticated: tuple[str, ...] = ()
    public: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them."""
        return self.authenticated + self.public


ROUTES = (
    Route("/order", "order", authenticated=("GET", "POST")),
    Route("/order/<order_id>", "order", authenticated=("PUT", "DELETE"), public=("GET",)),
    Route("/order/<order_id>/history", "order", authenticated=("GET",)),
    Route("/journal", "order", authenticated=("GET",)),
    Route("/journal/<operation_id>/retry", "order", authenticated=("POST",)),
    Route("/inventory", "inventory", public=("GET",)),
    Route("/inventory/<category>", "inventory", public=("GET",)),
    Route("/inventory/<category>/<code>", "inventory", public=("GET",)),
)

IDEMPOTENCY_KEY = "idempotency-key"

FORWARDED_HEADERS = ("accept", "content-type", IDEMPOTENCY_KEY, "if-match", "if-none-match")
"""Headers of a request that are passed on. No other is: not who the client says it is, nor whence it comes."""

RETURNED_HEADERS = ("cache-control", "content-type", "etag", "retry-after")
"""Headers of an answer that are passed back. The challenge and the Location are the gateway's own."""


class User(msgspec.Struct, frozen=True):
    """Whom a session belongs to (OpenID Connect Core section 5.1)."""

    sub: str
    name: str
    preferred_username: str


class SessionView(msgspec.Struct, frozen=True):
    """What a page may know of its session. Times are seconds since 1970."""

    user: User
    scopes: list[str]
    idle_until: int
    ends_at: int
    signed_in: bool = True
