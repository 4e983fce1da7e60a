"""Sessions of browsers, and one login on the way to one: values and rules. Times are seconds since 1970."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from ordermgmt.telemetry.secrets import Unshown

__all__ = [
    "Limits",
    "Login",
    "LoginSecrets",
    "Session",
    "Tokens",
    "cookie_digest",
    "is_cookie",
    "is_local_path",
    "refresh_at",
]

MAX_PATH = 2048
SPARE = 30.0
"""Seconds before its end at which an access token is replaced; for a short one, half of its life."""
DEFAULT_LIFETIME = 300
"""Seconds that an access token is taken to be good for if its issuer does not say (RFC 6749 section 5.1)."""

_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long sessions go on, in seconds: unused, in all, and how long a user may take to sign in."""

    idle: int
    absolute: int
    login: int

    @property
    def touch(self) -> float:
        """How much later a session has to end for its use to be worth a write."""
        return min(60.0, self.idle / 10)

    def idle_until(self, now: float, ends_at: float) -> float:
        """Return when a session that is used `now` ends if it is not used again."""
        return min(now + self.idle, ends_at)


class Tokens(Unshown, msgspec.Struct, frozen=True):
    """The tokens of a session. They never leave the gateway but to where they came from."""

    access: str
    refresh: str = ""
    """Empty: there is none, and the session ends with its access token."""
    identity: str = ""
    """The ID token, for the hint at logout."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser whose user has signed in."""

    digest: str
    """Of its cookie: what it is kept under."""
    issuer: str
    subject: str
    sid: str
    """The session at the issuer that it came of. Empty: the issuer names none."""
    name: str
    preferred_username: str
    scopes: frozenset[str]
    sealed: str = field(repr=False)
    """Its `Tokens`, encrypted."""
    refresh_at: float
    """When its access token is to be replaced."""
    idle_until: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class Login:
    """A login on its way: where its user is to go then, and the session (its digest) that it takes the place of."""

    return_to: str
    previous: str


@dataclass(frozen=True, slots=True, repr=False)
class LoginSecrets(Unshown):
    """What a login is known by at the provider: all of it comes of the cookie, so nothing secret has to be kept."""

    state: str
    nonce: str
    code_verifier: str

    @classmethod
    def of(cls, cookie: str) -> LoginSecrets:
        """Derive them from the login cookie."""
        return cls(_derive(cookie, "state"), _derive(cookie, "nonce"), _derive(cookie, "code_verifier"))


def _derive(cookie: str, purpose: str) -> str:
    digest = hmac.new(cookie.encode(), purpose.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def cookie_digest(cookie: str) -> str:
    """Return what a cookie is kept as: it is random, so a plain SHA-256 (in hex) gives nothing away."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def is_cookie(text: str) -> bool:
    """Tell whether a cookie can be one that was made here: 256 random bits."""
    return _COOKIE.fullmatch(text) is not None


def is_local_path(text: str) -> bool:
    r"""Tell whether a browser that is sent to `text` surely stays on this origin.

    Browsers take `//host` and `/\host` for another host, and drop tabs and line breaks before they look.
    """
    if not text.startswith("/") or text.startswith("//") or "\\" in text or len(text) > MAX_PATH:
        return False
    if not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc


def refresh_at(asked_at: float, expires_in: int | None) -> float:
    """Return when to replace an access token that was asked for at `asked_at`."""
    lifetime = DEFAULT_LIFETIME if expires_in is None else expires_in
    return asked_at + lifetime - min(SPARE, lifetime / 2)
