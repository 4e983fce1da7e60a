"""The tables of logins: what was counted, and where users have logged in before. Each function takes a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ordermgmt.storage import Transaction
from ordermgmt.sts.store import PURGE
from ordermgmt.sts.throttle import Limit, Tally

__all__ = [
    "add_place",
    "claim_request",
    "find_tallies",
    "is_known_place",
    "lock_tallies",
    "move_browser",
    "save_tallies",
]

PLACE_LIFETIME = 365 * 86400
"""Seconds after which a browser or address that the user has not come back to is a new one."""


def find_tallies(transaction: Transaction, keys: Iterable[str]) -> Mapping[str, Tally]:
    """Return what was counted under these keys."""
    found: dict[str, Tally] = {}
    for key in sorted(keys):
        rows = transaction.execute("SELECT count, counted_at FROM login_tallies WHERE id = ?", (key,)).rows
        if rows:
            found[key] = Tally(*rows[0])
    return found


def lock_tallies(transaction: Transaction, keys: Iterable[str]) -> Mapping[str, Tally]:
    """Return the same, with nobody else able to count under these keys until the transaction ends."""
    for key in sorted(keys):
        transaction.execute(
            "INSERT INTO login_tallies (id, count, counted_at, kept_until) VALUES (?, 0, 0, 0)"
            " ON CONFLICT (id) DO UPDATE SET kept_until = login_tallies.kept_until",
            (key,),
        )
    return find_tallies(transaction, keys)


def save_tallies(transaction: Transaction, limits: Mapping[str, Limit], tallies: Mapping[str, Tally], now: int) -> None:
    """Keep what was counted, and forget some of what says nothing any more."""
    for key in sorted(limits):
        tally = tallies[key]
        transaction.execute(
            "UPDATE login_tallies SET count = ?, counted_at = ?, kept_until = ? WHERE id = ?",
            (tally.count, tally.at, limits[key].kept_until(tally), key),
        )
    over = "SELECT id FROM login_tallies WHERE kept_until <= ? ORDER BY kept_until LIMIT ?"
    for (key,) in transaction.execute(over + transaction.dialect.skip_locked, (now, PURGE)).rows:
        if key not in limits:
            transaction.execute("DELETE FROM login_tallies WHERE id = ?", (key,))


def is_known_place(transaction: Transaction, digest: str, user: str, now: int) -> bool:
    """Tell whether a user has logged in from this browser or address in the last year."""
    rows = transaction.execute(
        "SELECT used_at FROM login_places WHERE digest = ? AND user_name = ? AND used_at > ?",
        (digest, user, now - PLACE_LIFETIME),
    ).rows
    return bool(rows)


def add_place(transaction: Transaction, digest: str, user: str, now: int) -> None:
    """Note that a user has logged in from a browser or address, and forget some that were left a year ago."""
    transaction.execute(
        "DELETE FROM login_places WHERE digest IN"
        " (SELECT digest FROM login_places WHERE used_at <= ? ORDER BY used_at LIMIT ?) AND used_at <= ?",
        (now - PLACE_LIFETIME, PURGE, now - PLACE_LIFETIME),
    )
    transaction.execute(
        "INSERT INTO login_places (digest, user_name, used_at) VALUES (?, ?, ?)"
        " ON CONFLICT (digest, user_name) DO UPDATE SET used_at = excluded.used_at",
        (digest, user, now),
    )


def move_browser(transaction: Transaction, before: str, after: str) -> None:
    """Let a browser keep what is bound to it under its new cookie."""
    transaction.execute("UPDATE login_places SET digest = ? WHERE digest = ?", (after, before))
    transaction.execute("UPDATE authorization_requests SET browser = ? WHERE browser = ?", (after, before))


def claim_request(transaction: Transaction, request_id: str, browser: str) -> bool:
    """Bind a request to the browser that shows its first page; False if it is another's, or waits no more."""
    changed = transaction.execute(
        "UPDATE authorization_requests SET browser = ? WHERE id = ? AND browser IN ('', ?)",
        (browser, request_id, browser),
    )
    return changed.rowcount == 1
