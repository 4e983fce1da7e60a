"""Names on the wire of the gateway: its route table is the whole list of what can be reached through it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

__all__ = [
    "ACCOUNTS_PATH",
    "API_PREFIX",
    "AUDIENCE",
    "CALLBACK_PATH",
    "CSRF_HEADER",
    "FORWARDED_HEADERS",
    "HELD_ROUTE",
    "HISTORY_PATH",
    "IDEMPOTENCY_KEY",
    "KEY_FILE",
    "LOGIN_COOKIE",
    "LOGIN_PATH",
    "LOGOUT_PATH",
    "OPENAPI_PATH",
    "OWN_PATHS",
    "PATH_PATH",
    "RETURNED_HEADERS",
    "ROUTES",
    "SESSION_COOKIE",
    "SESSION_PATH",
    "STATUS_PATH",
    "WATCHED_PATHS",
    "Account",
    "Accounts",
    "Route",
    "Seen",
    "SessionView",
    "SupervisorView",
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
"""What just happened: the way of a request of the same session, by what its answer said in `x-request-id`."""

SESSION_COOKIE = "__Host-gateway-session"
"""Secure; HttpOnly; SameSite=Strict; Path=/ (RFC 6265bis)."""
LOGIN_COOKIE = "__Host-gateway-login"
"""Likewise, but SameSite=Lax: the answer to a login comes from the provider's site. One login, and then it is gone."""
CSRF_HEADER = "x-csrf"
"""Is `1` on all that changes something. No other site can send it, as no preflight of theirs is answered."""
OPENAPI_PATH = "/openapi.json"

KEY_FILE = "gateway-key"
"""In the folder of the databases: what tokens of sessions are encrypted with, see `security/key_file.py`."""

STATUS_PATH = "/operate/status"
HISTORY_PATH = "/operate/history"
ACCOUNTS_PATH = "/operate/accounts"
OWN_PATHS = (STATUS_PATH, HISTORY_PATH, ACCOUNTS_PATH)
"""What the gateway itself tells operators, who GET it: no route leads on to a service."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the public API: methods that need a token, methods that do not, and the service behind it."""

    path: str
    upstream: str
    authenticated: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    watched: bool = False
    """Whether the operator's page asks for it again and again: the path of such a request is not kept."""

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them."""
        return self.authenticated + self.public


HELD_ROUTE = Route("/operate/held", "order", authenticated=("GET",), watched=True)

ROUTES = (
    Route("/order", "order", authenticated=("GET", "POST")),
    Route("/order/<order_id>", "order", authenticated=("PUT", "DELETE"), public=("GET",)),
    Route("/order/<order_id>/history", "order", authenticated=("GET",)),
    Route("/journal", "order", authenticated=("GET",), watched=True),
    Route("/journal/<operation_id>/retry", "order", authenticated=("POST",)),
    HELD_ROUTE,
    Route("/operate/keys", "sts", authenticated=("GET",), watched=True),
    Route("/operate/keys/rotate", "sts", authenticated=("POST",)),
    Route("/operate/sessions", "sts", authenticated=("GET",), watched=True),
    Route("/operate/sessions/<session_id>/revoke", "sts", authenticated=("POST",)),
    Route("/inventory", "inventory", public=("GET",)),
    Route("/inventory/<category>", "inventory", public=("GET",)),
    Route("/inventory/<category>/<code>", "inventory", public=("GET",)),
)

WATCHED_PATHS = frozenset(
    f"{API_PREFIX}{path}" for path in (*OWN_PATHS, *(route.path for route in ROUTES if route.watched))
)
"""What the operator's page asks for by itself, again and again: no use of a session, which else would never end."""

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


class SupervisorView(msgspec.Struct, frozen=True):
    """What the supervisor with this admin listener answers; null if it does not."""

    address: str
    report: msgspec.Raw | None


class Seen(msgspec.Struct, frozen=True):
    """The answers of all supervisors."""

    supervisors: tuple[SupervisorView, ...]


class Account(msgspec.Struct, frozen=True):
    """Where the pieces of a good are.

    `added` were added as goods altogether, the first stock among them. `missing` are neither in orders nor in stock;
    negative if there are too many.
    """

    category: str
    code: str
    added: int
    in_orders: int
    in_stock: int
    missing: int


class Accounts(msgspec.Struct, frozen=True):
    """All goods. Only if it is `settled` do missing pieces mean that stock and orders disagree.

    Otherwise orders changed while they were counted, or `unfinished` changes have no outcome yet.
    """

    settled: bool
    orders: int
    unfinished: int
    goods: tuple[Account, ...]
