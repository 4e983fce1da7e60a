"""Signing in: out to the provider and back (OpenID Connect Core section 3.1, RFC 7636, RFC 9207, RFC 9700)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ordermgmt.errors import InvalidRequest, Unauthenticated, Unavailable
from ordermgmt.gateway import session_store
from ordermgmt.gateway.id_token import SignedIn
from ordermgmt.gateway.provider import GrantRefused, Provider, TokenAnswer
from ordermgmt.gateway.sessions import (
    Limits,
    Login,
    LoginSecrets,
    Session,
    Tokens,
    cookie_digest,
    is_cookie,
    is_local_path,
    refresh_at,
)
from ordermgmt.gateway.tokens import TokenSafe, read_scopes
from ordermgmt.ids import Entropy, new_id
from ordermgmt.storage import Database, Transaction
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.telemetry.secrets import Unshown

__all__ = ["Begun", "Finished", "LoginRefused", "SignIns"]

log = get_logger("gateway-sign-in")

LOGINS_RETRY = 10
"""Seconds after which to try again when too many logins are on their way: each ends by itself."""

_ONCE = ("state", "code", "iss", "error")
_ERRORS = frozenset({
    "access_denied", "account_selection_required", "consent_required", "interaction_required", "invalid_request",
    "invalid_scope", "login_required", "server_error", "temporarily_unavailable", "unauthorized_client",
    "unsupported_response_type",
})  # fmt: skip
"""RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6."""


class LoginRefused(Exception):
    """An answer of a provider that signs nobody in. `code` is for the log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True, repr=False)
class Begun(Unshown):
    """Where to send the browser, and the cookie of this login."""

    location: str
    cookie: str


@dataclass(frozen=True, slots=True, repr=False)
class Finished(Unshown):
    """Where to send the browser, and the cookie of its session."""

    return_to: str
    cookie: str


class SignIns:
    """Begins and finishes logins."""

    def __init__(
        self, database: Database, provider: Provider, safe: TokenSafe, limits: Limits, entropy: Entropy
    ) -> None:
        self._database = database
        self._provider = provider
        self._safe = safe
        self._limits = limits
        self._entropy = entropy
        self._outcomes = Counter[str]()

    @property
    def seconds(self) -> int:
        """How long a user may take."""
        return self._limits.login

    async def begin(self, return_to: str, session_cookie: str) -> Begun:
        """Begin a login in a browser that may have a session, which the new one takes the place of.

        Raises InvalidRequest if `return_to` is no path of this origin, or Unavailable, also if too many are on their
        way.
        """
        if not is_local_path(return_to):
            raise InvalidRequest("invalid-return-to", "return_to must be a path of this site")
        provider = await self._provider.connected()
        cookie = new_id(self._entropy, 32)
        secrets = LoginSecrets.of(cookie)
        login = Login(return_to, cookie_digest(session_cookie) if session_cookie else "")
        digest, seconds = cookie_digest(cookie), self._limits.login
        if not await self._database.write(lambda tx: session_store.add_login(tx, digest, login, seconds)):
            raise Unavailable("too-many-logins", "too many users are signing in", retry_after=LOGINS_RETRY)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(secrets.code_verifier.encode()).digest())
        location = provider.login_url(
            state=secrets.state, nonce=secrets.nonce, code_challenge=challenge.rstrip(b"=").decode("ascii")
        )
        return Begun(location, cookie)

    async def finish(self, parameters: Sequence[tuple[str, str]], cookie: str) -> Finished:
        """Sign in whom the provider's answer, with these parameters, proves, in the browser with this login cookie.

        Every answer counts once. The session is on disk when this returns, with an id that nobody knew before. Raises
        LoginRefused, or Unavailable.
        """
        try:
            finished = await self._finish(parameters, cookie)
        except LoginRefused as refused:
            self._outcomes["refused"] += 1
            log.warning("sign-in-refused", code=refused.code, detail=refused.detail[:200])
            raise
        except Unavailable:
            self._outcomes["failed"] += 1
            raise
        self._outcomes["completed"] += 1
        return finished

    async def _finish(self, parameters: Sequence[tuple[str, str]], cookie: str) -> Finished:
        given = dict(parameters)
        counts = Counter(name for name, _ in parameters)
        if any(counts[name] > 1 for name in _ONCE):
            raise LoginRefused("repeated-parameter")
        secrets = LoginSecrets.of(cookie) if is_cookie(cookie) else None
        if secrets is None or not hmac.compare_digest(given.get("state", "").encode(), secrets.state.encode()):
            raise LoginRefused("other-browser")  # a login that somebody else began, or none
        provider = await self._provider.connected()
        digest = cookie_digest(cookie)
        login, asked_at = await self._database.write(
            lambda transaction: (session_store.take_login(transaction, digest), transaction.now())
        )
        if login is None:
            raise LoginRefused("answered-before-or-too-late")
        issuer = given.get("iss")
        if issuer != provider.metadata.issuer and (issuer is not None or provider.metadata.says_issuer):
            raise LoginRefused("other-issuer")  # RFC 9207 section 2.4
        if "error" in given or not given.get("code"):
            error = given.get("error", "")  # of a query that anybody can make up
            raise LoginRefused("provider-refused", error if error in _ERRORS else "")
        try:
            answer = await provider.redeem(given["code"], secrets.code_verifier)
            user = await provider.who(answer, secrets.nonce)
        except GrantRefused as refused:
            raise LoginRefused("code-refused", str(refused)) from refused
        except Unauthenticated as refused:
            raise LoginRefused("id-token-refused", refused.code) from refused
        return Finished(login.return_to, await self._open(user, answer, asked_at, login.previous))

    async def _open(self, user: SignedIn, answer: TokenAnswer, asked_at: float, previous: str) -> str:
        cookie = new_id(self._entropy, 32)
        digest, limits = cookie_digest(cookie), self._limits
        sealed = self._safe.seal(digest, Tokens(answer.access_token, answer.refresh_token, answer.id_token))
        scopes = read_scopes(answer, frozenset(self._provider.client.scopes))

        def save(transaction: Transaction) -> None:
            now = transaction.now()
            session = Session(
                digest=digest,
                issuer=user.issuer,
                subject=user.subject,
                sid=user.sid,
                name=user.name,
                preferred_username=user.preferred_username,
                scopes=scopes,
                sealed=sealed,
                refresh_at=refresh_at(asked_at, answer.expires_in),
                idle_until=limits.idle_until(now, now + limits.absolute),
                ends_at=now + limits.absolute,
            )
            session_store.add_session(transaction, session, previous)

        await self._database.write(save)
        return cookie

    def figures(self) -> Sequence[Figure]:
        """Return how logins ended since the start."""
        return [
            Figure(f"ordermgmt_sign_ins_{outcome}_total", "counter", meaning, self._outcomes[outcome])
            for outcome, meaning in (
                ("completed", "Logins that opened a session."),
                ("refused", "Answers to logins that signed nobody in."),
                ("failed", "Logins that failed for want of the provider or the database."),
            )
        ]
