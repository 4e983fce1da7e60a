"""What the authorization endpoint deals in (sessions, requests that wait for their user, codes), and what is next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlencode

from ordermgmt.sts.contract import OIDC_SCOPES
from ordermgmt.sts.registration import UserDetails

__all__ = ["Code", "Missing", "Pending", "Session", "answer_url", "missing", "offered_scopes"]


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
    quiet: bool = False
    """Whether the user is not to see any page (`prompt=none`): then nothing waits."""
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
    session_over: bool = False


class Missing(Enum):
    """What a request still needs of the user."""

    LOGIN = "login"
    CONSENT = "consent"
    NOTHING = "nothing"


def offered_scopes(pending: Pending, session: Session) -> frozenset[str]:
    """Return what the client gets if the session's user consents: nobody passes on what it may not do itself."""
    return pending.scopes & (session.scopes | OIDC_SCOPES)


def missing(pending: Pending, session: Session | None, consented: frozenset[str]) -> Missing:
    """Tell what is next for a request in this session. `consented` is what its user lets the client do already."""
    if session is None or session.auth_time < pending.earliest_login:
        return Missing.LOGIN
    offered = offered_scopes(pending, session)
    if not offered or pending.consented == session.sid:
        return Missing.NOTHING
    return Missing.CONSENT if pending.ask_consent or not offered <= consented else Missing.NOTHING


def answer_url(redirect_uri: str, issuer: str, state: str | None, **answer: str) -> str:
    """Return the redirect URI with an answer in its query (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207)."""
    parameters = answer | ({} if state is None else {"state": state}) | {"iss": issuer}
    return redirect_uri + ("&" if "?" in redirect_uri else "?") + urlencode(parameters)
