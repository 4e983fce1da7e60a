"""The tables of revocations. Every function takes an open transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ordermgmt.storage import Transaction

__all__ = [
    "PAGE",
    "Log",
    "Page",
    "is_revoked",
    "load_log",
    "load_page",
    "new_generation",
    "revoke",
    "revoke_everything",
    "start_epoch",
]

RETENTION = 900
"""Seconds for which revocations are kept: longer than any token that could carry one of them lives, which is
`sts.exchanged_token_lifetime`, at most 600, and the skew of 30."""
PURGE = 64
"""Old revocations that go with each new one."""
PAGE = 500
"""Revocations of one read: about 1 ms, and 15 KB on the wire."""


@dataclass(frozen=True, slots=True)
class Log:
    """How far the history of revocations is. `not_before` is in seconds since 1970."""

    epoch: str
    last: int
    not_before: int


@dataclass(frozen=True, slots=True)
class Page:
    """What came next in a history: what was `revoked`, up to the number `sequence`, and whether there is `more`."""

    log: Log
    sequence: int
    revoked: tuple[str, ...]
    more: bool


def revoke(transaction: Transaction, ids: Iterable[str]) -> None:
    """Revoke what these ids stand for, and forget some of what is long over.

    It makes every other transaction that revokes wait for the end of this one: call it late.
    """
    revoked = sorted(set(ids))
    if not revoked:
        return
    transaction.execute("UPDATE revocation_log SET last = last + ? WHERE id = 1", (len(revoked),))
    now, last = int(transaction.now()), load_log(transaction).last
    transaction.execute(
        "DELETE FROM revocations WHERE sequence IN"
        " (SELECT sequence FROM revocations WHERE revoked_at <= ? ORDER BY sequence LIMIT ?)",
        (now - RETENTION, PURGE + len(revoked)),
    )
    for sequence, one in enumerate(revoked, start=last - len(revoked) + 1):
        transaction.execute(
            "INSERT INTO revocations (sequence, revoked, revoked_at) VALUES (?, ?, ?)", (sequence, one, now)
        )


def revoke_everything(transaction: Transaction) -> None:
    """Revoke all that was issued until now, known or not, and begin another history of numbers.

    Whoever reads a session, a code or a token leaves out what is older, also if its row is there: a restore by others
    brings rows back, and what was being issued meanwhile is written afterwards.
    """
    transaction.execute(
        "UPDATE revocation_log SET epoch = '', not_before = ? WHERE id = 1", (int(transaction.now()) + 1,)
    )


def start_epoch(transaction: Transaction, epoch: str) -> None:
    """Give the history a name that no other has, unless it has one."""
    transaction.execute("UPDATE revocation_log SET epoch = ? WHERE id = 1 AND epoch = ''", (epoch,))


def new_generation(transaction: Transaction) -> int:
    """Return the first generation of a new client: no client of its id that was removed has had it."""
    return load_log(transaction).last


def is_revoked(transaction: Transaction, ids: Iterable[str], issued_at: float) -> bool:
    """Tell whether a token that carries these ids is over: one of them was revoked, or all that is as old.

    `issued_at` is in seconds since 1970. Ids are known for as long as a token that carries them can live.
    """
    return issued_at < load_log(transaction).not_before or any(
        transaction.execute("SELECT sequence FROM revocations WHERE revoked = ? LIMIT 1", (one,)).rows for one in ids
    )


def load_page(transaction: Transaction, epoch: str, after: int, keep: int) -> Page:
    """Return what somebody has to learn who knows all of `epoch` up to the number `after`.

    Nobody knows anything of another epoch, or of numbers that were not given. What was revoked `keep` seconds ago is
    left out.
    """
    log = load_log(transaction)
    known = after if epoch == log.epoch and 0 <= after <= log.last else 0
    rows = transaction.execute(
        "SELECT sequence, revoked FROM revocations WHERE sequence > ? AND revoked_at > ? ORDER BY sequence LIMIT ?",
        (known, int(transaction.now()) - keep, PAGE + 1),
    ).rows
    more = len(rows) > PAGE
    rows = rows[:PAGE]
    return Page(log, rows[-1][0] if more else log.last, tuple(one for _, one in rows), more)


def load_log(transaction: Transaction) -> Log:
    """Return how far the history is."""
    return Log(*transaction.execute("SELECT epoch, last, not_before FROM revocation_log WHERE id = 1").rows[0])
