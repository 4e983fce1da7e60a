"""The table of sessions. Every function takes an open transaction and speaks plain SQL."""

from __future__ import annotations

from dataclasses import dataclass

from ordermgmt.storage import Transaction
from ordermgmt.sts.authorization import Session
from ordermgmt.sts.family_store import end_families_of_session
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.revocation_store import revoke
from ordermgmt.sts.store import PURGE

__all__ = [
    "OpenSession",
    "add_session",
    "end_session",
    "find_session",
    "open_sessions",
    "renew_session",
    "touch_session",
    "user_of",
]


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that goes on, and the clients that have tokens which came of it. Times are seconds since 1970."""

    sid: str
    user: str
    auth_time: int
    last_used_at: int
    ends_at: int
    clients: tuple[str, ...]


def open_sessions(transaction: Transaction, now: int, limit: int) -> list[OpenSession]:
    """Return up to `limit` sessions that go on, the last used first."""
    rows = transaction.execute(
        "SELECT sid, user_name, auth_time, last_used_at, ends_at FROM sessions"
        " WHERE ended_at IS NULL AND ends_at > ? AND created_at >= (SELECT not_before FROM revocation_log)"
        " ORDER BY last_used_at DESC, sid LIMIT ?",
        (now, limit),
    ).rows
    clients: dict[str, list[str]] = {sid: [] for sid, *_ in rows}
    if rows:
        places = ", ".join("?" * len(rows))
        for sid, client in transaction.execute(
            "SELECT DISTINCT sid, client_id FROM token_families"  # noqa: S608 - places only
            f" WHERE ended_at IS NULL AND ends_at > ? AND sid IN ({places}) ORDER BY sid, client_id",
            (now, *clients),
        ).rows:
            clients[sid].append(client)
    return [
        OpenSession(sid, user, auth_time, last_used_at, ends_at, tuple(clients[sid]))
        for sid, user, auth_time, last_used_at, ends_at in rows
    ]


def user_of(transaction: Transaction, sid: str, now: int) -> str | None:
    """Return whose session this is, if it goes on."""
    rows = transaction.execute(
        "SELECT user_name FROM sessions WHERE sid = ? AND ended_at IS NULL AND ends_at > ?"
        " AND created_at >= (SELECT not_before FROM revocation_log)",
        (sid, now),
    ).rows
    return str(rows[0][0]) if rows else None


def find_session(transaction: Transaction, digest: str, now: int) -> Session | None:
    """Return the session of a cookie; None if it is over or its user may not log in any more."""
    rows = transaction.execute(
        "SELECT s.sid, s.user_name, u.full_name, u.roles, u.scopes, s.auth_time, s.ends_at"
        " FROM sessions s JOIN users u ON u.name = s.user_name"
        " WHERE s.digest = ? AND s.ended_at IS NULL AND s.ends_at > ? AND u.disabled = 0"
        " AND s.created_at >= (SELECT not_before FROM revocation_log)",
        (digest, now),
    ).rows
    if not rows:
        return None
    sid, user, full_name, roles, scopes, auth_time, ends_at = rows[0]
    details = UserDetails(full_name, tuple(roles.split()))
    return Session(sid, user, details, frozenset(scopes.split()), auth_time, ends_at)


def add_session(transaction: Transaction, sid: str, digest: str, user: str, now: int, ends_at: int) -> None:
    """Keep a session in which `user` has just logged in, and forget some of those that are over."""
    transaction.execute(
        "DELETE FROM sessions WHERE sid IN (SELECT sid FROM sessions WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        (now, PURGE),
    )
    transaction.execute(
        "INSERT INTO sessions (sid, digest, user_name, auth_time, created_at, last_used_at, ends_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (sid, digest, user, now, now, now, ends_at),
    )


def renew_session(transaction: Transaction, sid: str, digest: str, now: int, ends_at: int) -> bool:
    """Give a session a new cookie because its user has just logged in again; False if it ended meanwhile."""
    changed = transaction.execute(
        "UPDATE sessions SET digest = ?, auth_time = ?, last_used_at = ?, ends_at = ?"
        " WHERE sid = ? AND ended_at IS NULL",
        (digest, now, now, ends_at, sid),
    )
    return changed.rowcount == 1


def touch_session(transaction: Transaction, sid: str, now: int, ends_at: int) -> None:
    """Note that a session was used, unless it ended meanwhile."""
    transaction.execute(
        "UPDATE sessions SET last_used_at = ?, ends_at = ? WHERE sid = ? AND ended_at IS NULL AND last_used_at < ?",
        (now, ends_at, sid, now),
    )


def end_session(transaction: Transaction, sid: str, now: int) -> bool:
    """End a session and every token that came of it; False if it had ended already."""
    changed = transaction.execute("UPDATE sessions SET ended_at = ? WHERE sid = ? AND ended_at IS NULL", (now, sid))
    end_families_of_session(transaction, sid, now)
    if changed.rowcount == 1:
        revoke(transaction, [sid])
    return changed.rowcount == 1
