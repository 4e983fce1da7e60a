"""The table of signing keys. Every function takes an open transaction and speaks plain SQL.

Several replicas decide the same at the same time: each change names the states that it starts from, and says whether
it was this call that made it.
"""

from __future__ import annotations

from ordermgmt.storage import Transaction
from ordermgmt.sts.key_rotation import KeyState, StoredKey

__all__ = ["activate_key", "add_key", "drop_key", "load_keys", "replace_all", "reseal_key"]


def load_keys(transaction: Transaction) -> list[StoredKey]:
    """Return all keys, the oldest first."""
    rows = transaction.execute(
        "SELECT kid, algorithm, state, since, created_at, private_pem FROM signing_keys ORDER BY created_at, kid"
    ).rows
    return [StoredKey(kid, algorithm, KeyState(state), *rest) for kid, algorithm, state, *rest in rows]


def add_key(transaction: Transaction, key: StoredKey) -> bool:
    """Add a key; False, and nothing done, if there is one in the same state and its state allows only one."""
    return _insert(transaction, key) == 1


def activate_key(transaction: Transaction, kid: str, replaces: str, now: int) -> bool:
    """Have the next key `kid` sign, and the active key `replaces` retire; False if they are not in these states."""
    lock = transaction.dialect.lock
    found = transaction.execute(
        f"SELECT kid, state FROM signing_keys WHERE kid IN (?, ?) ORDER BY kid{lock}",  # noqa: S608 a constant
        (kid, replaces),
    ).rows
    if dict(found) != {kid: KeyState.NEXT, replaces: KeyState.ACTIVE}:
        return False
    for moved, state in ((replaces, KeyState.RETIRING), (kid, KeyState.ACTIVE)):
        transaction.execute("UPDATE signing_keys SET state = ?, since = ? WHERE kid = ?", (state, now, moved))
    return True


def drop_key(transaction: Transaction, kid: str) -> bool:
    """Forget a key that retires; False if there is none such."""
    deleted = transaction.execute("DELETE FROM signing_keys WHERE kid = ? AND state = ?", (kid, KeyState.RETIRING))
    return deleted.rowcount == 1


def replace_all(transaction: Transaction, key: StoredKey) -> bool:
    """Forget every key and have `key` sign; False, and nothing done, if somebody else does the same now."""
    transaction.execute("DELETE FROM signing_keys")
    return _insert(transaction, key) == 1


def reseal_key(transaction: Transaction, kid: str, before: str, after: str) -> bool:
    """Keep a key in another envelope, unless somebody else did meanwhile."""
    changed = transaction.execute(
        "UPDATE signing_keys SET private_pem = ? WHERE kid = ? AND private_pem = ?", (after, kid, before)
    )
    return changed.rowcount == 1


def _insert(transaction: Transaction, key: StoredKey) -> int:
    return transaction.execute(
        "INSERT INTO signing_keys (kid, algorithm, state, since, created_at, private_pem) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (key.kid, key.algorithm, key.state, key.since, key.created_at, key.private_pem),
    ).rowcount
