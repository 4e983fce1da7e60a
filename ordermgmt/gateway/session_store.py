"""The tables of sessions and of logins on their way. Every function takes an open transaction and speaks plain SQL."""

from __future__ import annotations

from enum import Enum

from ordermgmt.gateway.sessions import Limits, Login, Session
from ordermgmt.storage import Transaction

__all__ = [
    "Lease",
    "add_login",
    "add_session",
    "count_sessions",
    "end_all_sessions",
    "end_session",
    "end_sessions_of",
    "find_session",
    "newest_sealed",
    "release_lease",
    "replace_tokens",
    "take_lease",
    "take_login",
    "touch_session",
]

PURGE = 64
"""Rows that are over which go with each new one: more than one, so they cannot pile up, and few, so nobody waits."""

MAX_LOGINS = 20_000
"""Logins on their way at once. Anybody can begin one: with a path of 2 kB, its digests and its place in the index one
takes 2.5 kB at most, all of them 50 MB. In ten minutes, which a user may take by default, it is 33 logins each second.
"""

_COLUMNS = "digest, issuer, subject, sid, name, preferred_username, scopes, sealed, refresh_at, idle_until, ends_at"


class Lease(Enum):
    """What came of asking for the lease of a session."""

    TAKEN = "taken"
    HELD = "held"
    """Somebody else has it: look again soon."""
    NEEDLESS = "needless"
    """Somebody else has replaced the tokens meanwhile."""
    OVER = "over"
    """There is no such session any more."""


def find_session(transaction: Transaction, digest: str) -> Session | None:
    """Return the session of a cookie; None if there is none, or it is over."""
    rows = transaction.execute(
        f"SELECT {_COLUMNS} FROM sessions WHERE digest = ? AND idle_until > ?",  # noqa: S608 - constants
        (digest, transaction.now()),
    ).rows
    if not rows:
        return None
    digest, issuer, subject, sid, name, username, scopes, sealed, refresh_at, idle_until, ends_at = rows[0]
    return Session(
        digest, issuer, subject, sid, name, username, frozenset(scopes.split()), sealed, refresh_at, idle_until, ends_at
    )


def add_session(transaction: Transaction, session: Session, previous: str) -> None:
    """Keep a session in place of the one before in its browser, and forget some of those that are over."""
    now = transaction.now()
    transaction.execute(
        "DELETE FROM sessions WHERE digest IN"
        " (SELECT digest FROM sessions WHERE idle_until <= ? ORDER BY idle_until LIMIT ?)",
        (now, PURGE),
    )
    transaction.execute("DELETE FROM sessions WHERE digest = ?", (previous,))
    transaction.execute(
        f"INSERT INTO sessions ({_COLUMNS}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            session.digest,
            session.issuer,
            session.subject,
            session.sid,
            session.name,
            session.preferred_username,
            " ".join(sorted(session.scopes)),
            session.sealed,
            session.refresh_at,
            session.idle_until,
            session.ends_at,
            now,
        ),
    )


def touch_session(transaction: Transaction, digest: str, limits: Limits) -> None:
    """Note that a session is used."""
    now = transaction.now()
    transaction.execute(
        "UPDATE sessions SET idle_until = CASE WHEN ends_at < ? THEN ends_at ELSE ? END"
        " WHERE digest = ? AND idle_until > ?",
        (now + limits.idle, now + limits.idle, digest, now),
    )


def take_lease(transaction: Transaction, known: Session, holder: str, seconds: float) -> Lease:
    """Let `holder` alone replace the tokens of a session, as they are `known`, for some seconds."""
    now = transaction.now()
    taken = transaction.execute(
        "UPDATE sessions SET lease_holder = ?, lease_until = ? WHERE digest = ? AND sealed = ? AND idle_until > ?"
        " AND (lease_until IS NULL OR lease_until <= ?)",
        (holder, now + seconds, known.digest, known.sealed, now, now),
    )
    if taken.rowcount == 1:
        return Lease.TAKEN
    found = find_session(transaction, known.digest)
    if found is None:
        return Lease.OVER
    return Lease.HELD if found.sealed == known.sealed else Lease.NEEDLESS


def release_lease(transaction: Transaction, digest: str, holder: str) -> None:
    """Let others try."""
    transaction.execute(
        "UPDATE sessions SET lease_holder = NULL, lease_until = NULL WHERE digest = ? AND lease_holder = ?",
        (digest, holder),
    )


def replace_tokens(transaction: Transaction, session: Session, holder: str) -> bool:
    """Keep the new tokens and scopes of a session, and give the lease back; False if `holder` has it no more."""
    changed = transaction.execute(
        "UPDATE sessions SET sealed = ?, refresh_at = ?, scopes = ?, lease_holder = NULL, lease_until = NULL"
        " WHERE digest = ? AND lease_holder = ?",
        (session.sealed, session.refresh_at, " ".join(sorted(session.scopes)), session.digest, holder),
    )
    return changed.rowcount == 1


def end_session(transaction: Transaction, digest: str, *, holder: str | None = None) -> Session | None:
    """Forget a session and return it as it was; None if there is none. With a `holder`, only if it has the lease."""
    found = find_session(transaction, digest)
    condition, parameters = ("", ()) if holder is None else (" AND lease_holder = ?", (holder,))
    ended = transaction.execute(
        f"DELETE FROM sessions WHERE digest = ?{condition}",  # noqa: S608 - constants
        (digest, *parameters),
    )
    return found if ended.rowcount == 1 else None


def end_sessions_of(transaction: Transaction, issuer: str, sid: str) -> int:
    """Forget all sessions that came of one session at the issuer, and return how many there were."""
    return transaction.execute("DELETE FROM sessions WHERE sid = ? AND issuer = ?", (sid, issuer)).rowcount


def end_all_sessions(transaction: Transaction) -> None:
    """Forget all sessions, and all logins on their way: after a restore nobody knows which were ended meanwhile."""
    transaction.execute("DELETE FROM sessions")
    transaction.execute("DELETE FROM logins")


def count_sessions(transaction: Transaction) -> int:
    """Return how many sessions there are that are not over."""
    return int(
        transaction.execute("SELECT COUNT(*) FROM sessions WHERE idle_until > ?", (transaction.now(),)).rows[0][0]
    )


def newest_sealed(transaction: Transaction) -> tuple[str, str] | None:
    """Return digest and envelope of the session that ends last, if there is any."""
    rows = transaction.execute(
        "SELECT digest, sealed FROM sessions WHERE idle_until > ? ORDER BY idle_until DESC LIMIT 1",
        (transaction.now(),),
    ).rows
    return rows[0] if rows else None


def add_login(transaction: Transaction, digest: str, login: Login, seconds: int) -> bool:
    """Keep a login on its way for some seconds, and forget some of those that took too long; False at `MAX_LOGINS`."""
    now = transaction.now()
    transaction.execute(
        "DELETE FROM logins WHERE digest IN (SELECT digest FROM logins WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        (now, PURGE),
    )
    if transaction.execute("SELECT COUNT(*) FROM logins WHERE ends_at > ?", (now,)).rows[0][0] >= MAX_LOGINS:
        return False
    transaction.execute(
        "INSERT INTO logins (digest, return_to, previous, ends_at) VALUES (?, ?, ?, ?)",
        (digest, login.return_to, login.previous, now + seconds),
    )
    return True


def take_login(transaction: Transaction, digest: str) -> Login | None:
    """Return a login and forget it, so that it is answered once; None if there is none, or it took too long."""
    rows = transaction.execute(
        f"SELECT return_to, previous, ends_at FROM logins WHERE digest = ?{transaction.dialect.lock}",  # noqa: S608
        (digest,),
    ).rows
    if transaction.execute("DELETE FROM logins WHERE digest = ?", (digest,)).rowcount != 1 or not rows:
        return None
    return_to, previous, ends_at = rows[0]
    return Login(return_to, previous) if ends_at > transaction.now() else None
