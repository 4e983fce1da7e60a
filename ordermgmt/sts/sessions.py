"""Sessions: browsers in which a user has logged in.

A browser holds a random cookie whose digest is kept here; tokens name the session by its `sid`, which opens nothing.
"""

from __future__ import annotations

from ordermgmt.clock import Clock
from ordermgmt.errors import NotFound
from ordermgmt.ids import Entropy, new_id
from ordermgmt.storage import Database, Transaction
from ordermgmt.sts import session_store, store
from ordermgmt.sts.authorization import Session
from ordermgmt.sts.mint import token_digest
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.session_store import OpenSession

__all__ = ["Sessions"]

MAX_LISTED = 200
"""Sessions that a list shows."""
TOUCH = 60
"""Seconds between two notes that a session is used: a page that is looked at all day costs no write for each look."""


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, database: Database, rules: Rules, entropy: Entropy, clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._entropy = entropy
        self._clock = clock

    async def open_session(self, user: str, previous: str = "", *, password_digest: str | None = None) -> str:
        """Note that `user` has just proved who it is, and return the value for the browser's cookie, always a new one.

        `previous` is the cookie that the browser had: if it is of a session of the same user, that session goes on,
        with the new login time; one of another user is ended as by a logout. `password_digest` is what the password was
        checked with. Raises NotFound("no-such-user") if the user was removed, disabled, or given another password
        meanwhile.
        """
        now = int(self._clock.now())
        cookie, sid = new_id(self._entropy, 32), new_id(self._entropy)
        digest, ends_at = token_digest(cookie), self._ends_at(now, now)

        def save(transaction: Transaction) -> None:
            found = store.find_user(transaction, user)
            if found is None or password_digest not in {None, found.password_digest}:
                raise NotFound("no-such-user", "there is no such user any more")
            before = session_store.find_session(transaction, token_digest(previous), now)
            if before is not None and before.user != user:
                session_store.end_session(transaction, before.sid, now)
            elif before is not None and session_store.renew_session(transaction, before.sid, digest, now, ends_at):
                return
            session_store.add_session(transaction, sid, digest, user, now, ends_at)

        await self._database.write(save)
        return cookie

    async def find_session(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None if it is unknown or over. Being found counts as use."""
        now, digest = int(self._clock.now()), token_digest(cookie)
        session = await self._database.read(lambda transaction: session_store.find_session(transaction, digest, now))
        if session is None:
            return None
        ends_at = self._ends_at(session.auth_time, now)
        if ends_at >= session.ends_at + TOUCH:
            await self._database.write(
                lambda transaction: session_store.touch_session(transaction, session.sid, now, ends_at)
            )
        return session

    async def end_session(self, cookie: str) -> Session | None:
        """Log out: end the session of a cookie with all tokens that came of it, and return it as it was.

        None if there is none; then nothing is done. It is on disk before this returns.
        """
        now, digest = int(self._clock.now()), token_digest(cookie)

        def save(transaction: Transaction) -> Session | None:
            session = session_store.find_session(transaction, digest, now)
            if session is not None:
                session_store.end_session(transaction, session.sid, now)
            return session

        return await self._database.write(save)

    async def open_sessions(self) -> list[OpenSession]:
        """Return the sessions that go on, the last used first, at most MAX_LISTED."""
        now = int(self._clock.now())
        return await self._database.read(lambda tx: session_store.open_sessions(tx, now, MAX_LISTED))

    async def revoke_session(self, sid: str) -> str:
        """End a session for its user, with all tokens that came of it, and return whose it was.

        It is on disk before this returns. Raises NotFound if there is none that goes on.
        """
        now = int(self._clock.now())

        def save(transaction: Transaction) -> str:
            user = session_store.user_of(transaction, sid, now)
            if user is None or not session_store.end_session(transaction, sid, now):
                raise NotFound("no-such-session", "there is no such session, or it is over")
            return user

        return await self._database.write(save)

    def _ends_at(self, auth_time: int, now: int) -> int:
        return min(auth_time + self._rules.session_lifetime, now + self._rules.session_idle_lifetime)
