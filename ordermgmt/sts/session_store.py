"""The table of sessions. Every function takes an open transaction and speaks plain SQL."""

from __future__ import annotations

from ordermgmt.storage import Transaction
from ordermgmt.sts.authorization import Session
from ordermgmt.sts.family_store import end_families_of_session
from ordermgmt.sts.registration import UserDetails
from ordermgmt.sts.revocation_store import revoke
from ordermgmt.sts.store import PURGE

__all__ = ["add_session", "end_session", "find_session", "renew_session", "touch_session"]


def find_session(transaction: Transaction, digest: str, now: int) -> Session | None:
    """Return the session of a cookie; None if it is over or its user may not log in any more."""
    rows = transaction.execute(
        "SELECT s.sid, s.user_name, u.full_name, u.roles, u.scopes, s.auth_time, s.ends_at"
        " FROM sessions s JOIN users u ON u.name = s.user_name"
        " WHERE s.digest = ? AND s.ended_at IS NULL AND s.ends_at > ? AND u.disabled = 0",
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
