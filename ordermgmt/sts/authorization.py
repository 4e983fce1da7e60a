"""What the authorization endpoint deals in: sessions, requests that wait for their user, and codes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ordermgmt.sts.registration import UserDetails

__all__ = ["Code", "Pending", "Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a user has logged in. Times are seconds since 1970."""

    sid: str
    """Names the session in tokens. It opens nothing: that is the cookie's business."""
    user: str
    """The user's name, which is the `sub` of the tokens."""
    details: UserDetails
    scopes: frozenset[str]
    """The most that the user may do."""
    auth_time: int
    """When the user last proved who it is."""
    ends_at: int
    """When the session is over if it is not used before."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An authorization request that was found good, and waits for its user to log in or to consent."""

    id: str
    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    """What the client asks for: what the user may not do is not yet taken away."""
    audience: str
    """Where the tokens will be for."""
    code_challenge: str
    expires_at: int
    state: str | None = None
    nonce: str | None = None
    earliest_login: int = 0
    """The user must have proved who it is since then (`max_age`, `prompt=login`)."""
    ask_consent: bool = False
    """Whether the user is asked even if it consented before."""
    login_hint: str = ""
    """Whom the client expects, as it says."""
    consented: str = ""
    """The `sid` in which the user consented to this very request. Empty: not yet."""


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code was given for."""

    client_id: str
    user: str
    details: UserDetails
    sid: str
    redirect_uri: str
    scopes: frozenset[str]
    audience: str
    code_challenge: str = field(repr=False)
    auth_time: int
    expires_at: int
    nonce: str | None = None
    family_id: str = ""
    """The family of the tokens that it gave already. Empty: it was not used."""
