"""What the gateway does with sessions of browsers: finds, uses and ends them, and has a token for each request."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway import session_store
from ordermgmt.gateway.provider import Provider
from ordermgmt.gateway.sessions import Limits, Session, cookie_digest, is_cookie
from ordermgmt.gateway.tokens import Refresher, TokenSafe
from ordermgmt.storage import Database, Transaction
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure

__all__ = ["BrowserSessions", "end_all"]

log = get_logger("gateway-sessions")

REVOKE_TIMEOUT = 2.0
"""Seconds that a logout waits for the provider to end the tokens; they end by themselves, too."""


class BrowserSessions:
    """The sessions of the gateway. Times are those of the database, which all gateways share."""

    def __init__(
        self, database: Database, provider: Provider, safe: TokenSafe, refresher: Refresher, limits: Limits
    ) -> None:
        self._database = database
        self._provider = provider
        self._safe = safe
        self._refresher = refresher
        self._limits = limits

    async def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None if there is none, or it is over. It does not count as use."""
        if not is_cookie(cookie):
            return None
        digest = cookie_digest(cookie)
        return await self._database.read(lambda transaction: session_store.find_session(transaction, digest))

    async def use(self, cookie: str) -> Session:
        """Return the session of a cookie, and note that it is used. Raises Unauthenticated."""
        if not is_cookie(cookie):
            raise Unauthenticated("no-session")
        digest, limits = cookie_digest(cookie), self._limits

        def load(transaction: Transaction) -> tuple[Session | None, float]:
            return session_store.find_session(transaction, digest), transaction.now()

        session, now = await self._database.read(load)
        if session is None:
            raise Unauthenticated("no-session")
        if limits.idle_until(now, session.ends_at) >= session.idle_until + limits.touch:
            await self._database.write(lambda transaction: session_store.touch_session(transaction, digest, limits))
        return session

    async def access_token(self, session: Session) -> str:
        """Return an access token of the session that is good for a while. Raises as `Refresher.refresh` does."""
        now = await self._database.read(lambda transaction: transaction.now())
        if session.refresh_at <= now:
            session = await self._refresher.refresh(session)
        return self._safe.open(session).access

    async def access_token_after(self, session: Session, refused: str) -> str:
        """Return another access token than `refused`, which the provider did not take: it knows why.

        Raises Unauthenticated if there is none any more, and the session has ended. Else as `Refresher.refresh` does.
        """
        current = await self._database.read(lambda transaction: session_store.find_session(transaction, session.digest))
        if current is None:
            raise Unauthenticated("session-over")
        if self._safe.open(current).access == refused:
            current = await self._refresher.refresh(current)
        return self._safe.open(current).access

    async def end(self, cookie: str) -> str:
        """End the session of a cookie, if there is one, and return where its browser ends the one at the provider.

        It is gone, on disk, before the provider is looked for or told: without one the browser goes to where the
        provider would have sent it. Raises Unavailable if the database is away.
        """
        digest = cookie_digest(cookie)
        ended = await self._database.write(lambda transaction: session_store.end_session(transaction, digest))
        try:
            provider = await self._provider.connected()
        except Unavailable as error:
            log.warning("tokens-not-revoked", reason=str(error))
            return self._provider.client.post_logout_redirect_uri
        if ended is None:
            return provider.logout_url("")
        try:
            tokens = self._safe.open(ended)
        except Unauthenticated:
            return provider.logout_url("")
        with trio.move_on_after(REVOKE_TIMEOUT):
            try:
                await provider.revoke(tokens.refresh or tokens.access)
            except Unavailable as error:
                log.warning("tokens-not-revoked", reason=str(error))
        return provider.logout_url(tokens.identity)

    async def forget(self, session: Session) -> None:
        """End a session that its provider has ended."""
        log.info("session-ended", reason="its tokens are not taken any more")
        await self._database.write(lambda transaction: session_store.end_session(transaction, session.digest))

    async def end_sessions_of(self, sids: Sequence[str]) -> int:
        """End all sessions that came of these of the provider's, and return how many there were."""
        issuer = self._provider.client.issuer

        def end(transaction: Transaction) -> int:
            return sum(session_store.end_sessions_of(transaction, issuer, sid) for sid in sids)

        ended = await self._database.write(end)
        if ended:
            log.info("sessions-ended", ended=ended, reason="revoked")
        return ended

    async def figures(self) -> Sequence[Figure]:
        """Return how many sessions there are."""
        live = await self._database.read(session_store.count_sessions)
        return [Figure("ordermgmt_sessions_live", "gauge", "Sessions of browsers that are not over.", live)]


async def end_all(database: Database) -> None:
    """End all sessions, and all logins on their way. The gateway may run meanwhile. Raises Unavailable."""
    await database.write(session_store.end_all_sessions)
