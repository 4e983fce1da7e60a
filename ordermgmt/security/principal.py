"""Who a request comes from, once it is proven."""

from __future__ import annotations

import msgspec

__all__ = ["Principal"]


class Principal(msgspec.Struct, frozen=True):
    """A subject of an issuer and what its token says of it. Its identity is the pair (iss, sub), never `sub` alone."""

    iss: str
    sub: str
    scopes: frozenset[str]
    client_id: str | None = None
    """The client that the token was issued to (RFC 9068 section 2.2)."""
    actors: tuple[str, ...] = ()
    """Who acts for the subject (RFC 8693 section 4.1): the one that acts now first, then those before it."""
    name: str = ""
    """What to call the subject: `preferred_username`, or `sub`. Decides nothing."""
    full_name: str | None = None
    roles: tuple[str, ...] = ()
    jti: str | None = None
    sid: str | None = None
    """The session at the issuer that the token came of."""
    revocable_by: tuple[str, ...] = ()
    """Ids of what else it came of, at the issuer: the end of any of these is its end."""
    expires_at: float = 0.0
    """Seconds since 1970."""
    issued_at: float = 0.0
    """The same."""
    bound: bool = False
    """Whether the token is bound to the client certificate that it came with (RFC 8705 section 3)."""

    @property
    def actor(self) -> str | None:
        """Who acts for the subject now, or None if it acts itself."""
        return self.actors[0] if self.actors else None
