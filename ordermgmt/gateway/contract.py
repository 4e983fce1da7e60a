"""Names on the wire of the gateway: its route table is the whole list of what can be reached through it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AUDIENCE", "FORWARDED_HEADERS", "IDEMPOTENCY_KEY", "RETURNED_HEADERS", "ROUTES", "Route"]

AUDIENCE = "gateway"


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the public API: methods that need a token, methods that do not, and the service behind it."""

    path: str
    upstream: str
    authenticated: tuple[str, ...] = ()
    public: tuple[str, ...] = ()


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
