"""Stock and decided operations as rows. Every function runs on the caller's open transaction.

Transactions of several replicas wait for each other in one order only, so never in a circle: acknowledged operations
by id, claims by id, items by category and code. Forgetting comes last and waits for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ordermgmt.errors import Conflict, Error, UnprocessableContent
from ordermgmt.inventory.contract import Balance, Outcome
from ordermgmt.inventory.domain import Claim, Key, StoredItem
from ordermgmt.storage import Transaction

__all__ = [
    "acknowledge",
    "add_item",
    "adjust",
    "claim",
    "find_item",
    "find_operations",
    "forget",
    "list_balances",
    "list_items",
    "lock_item",
    "lock_stock",
    "move_stock",
    "save_item",
    "settle",
]

_APPLIED, _CREATED = 200, 201
_REFUSALS: Mapping[int, type[Error]] = {kind.status: kind for kind in (Conflict, UnprocessableContent)}


def lock_stock(transaction: Transaction, keys: Collection[Key]) -> dict[Key, int]:
    """Return how many pieces there are of those items that exist. They stay as they are until the transaction ends."""
    if not keys:
        return {}
    # Without the inner SELECT, SQLite would read the whole table for more than a few keys.
    rows = transaction.execute(
        "SELECT category, code, qty FROM item WHERE (category, code) IN"  # noqa: S608
        f" (SELECT column1, column2 FROM (VALUES {_places(len(keys), 2)}) AS wanted)"
        f" ORDER BY category, code {transaction.dialect.lock}",
        [part for key in keys for part in key],
    ).rows
    return {Key(category, code): qty for category, code, qty in rows}


def move_stock(transaction: Transaction, changes: Mapping[Key, int]) -> None:
    """Add to how many pieces there are of items that exist."""
    if changes:
        transaction.execute(
            "UPDATE item SET qty = qty + change.column3, moved = moved + change.column3"  # noqa: S608
            f" FROM (VALUES {_places(len(changes), 3)}) AS change"
            " WHERE item.category = change.column1 AND item.code = change.column2",
            [part for key, delta in changes.items() for part in (*key, delta)],
        )


def find_item(transaction: Transaction, key: Key) -> StoredItem | None:
    """Return an item, or None."""
    rows = transaction.execute(_FIND_ITEM, key).rows
    return _item(rows[0]) if rows else None


def lock_item(transaction: Transaction, key: Key) -> StoredItem | None:
    """Return an item, which stays as it is until the transaction ends, or None."""
    rows = transaction.execute(f"{_FIND_ITEM} {transaction.dialect.lock}", key).rows
    return _item(rows[0]) if rows else None


def add_item(transaction: Transaction, item: StoredItem) -> bool:
    """Add an item, unless there is one of this key."""
    added = transaction.execute(
        "INSERT INTO item (category, code, name, price, qty) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*item.key, item.name, item.price, item.qty),
    ).rowcount
    return added == 1


def save_item(transaction: Transaction, item: StoredItem) -> None:
    """Set all of a known item."""
    transaction.execute(
        "UPDATE item SET name = ?, price = ?, qty = ? WHERE category = ? AND code = ?",
        (item.name, item.price, item.qty, *item.key),
    )


def adjust(transaction: Transaction, key: Key, operation_id: str, delta: int, now: float) -> None:
    """Note that goods were added to an item."""
    transaction.execute(
        "INSERT INTO adjustment (category, code, operation, delta, adjusted_at) VALUES (?, ?, ?, ?, ?)",
        (*key, operation_id, delta, now),
    )


def list_balances(transaction: Transaction, after: Key, limit: int) -> list[Balance]:
    """Return where the pieces are of up to `limit` items that follow `after`, by category and code."""
    rows = transaction.execute(
        "SELECT category, code, CAST((SELECT COALESCE(SUM(delta), 0) FROM adjustment"
        " WHERE adjustment.category = item.category AND adjustment.code = item.code) AS BIGINT), moved, qty FROM item"
        " WHERE (category, code) > (?, ?) ORDER BY category, code LIMIT ?",
        (*after, limit),
    ).rows
    return [Balance(*row) for row in rows]


def list_items(transaction: Transaction, category: str | None, after: Key, limit: int) -> list[StoredItem]:
    """Return up to `limit` items that follow `after`, by category and code; of one category, or of all."""
    if category is None:
        rows = transaction.execute(
            f"{_SELECT_ITEM} WHERE (category, code) > (?, ?) ORDER BY category, code LIMIT ?", (*after, limit)
        ).rows
    else:
        rows = transaction.execute(
            f"{_SELECT_ITEM} WHERE category = ? AND (category, code) > (?, ?) ORDER BY category, code LIMIT ?",
            (category, *after, limit),
        ).rows
    return [_item(row) for row in rows]


def claim(transaction: Transaction, claims: Iterable[Claim], sent_at: float | None, now: float) -> set[str]:
    """Take the ids that were never decided, and return them; they count as applied until `settle` says otherwise.

    An id that another transaction has just taken is waited for: it is then either free, or decided for all to see.
    """
    ordered = sorted(claims)
    rows = transaction.execute(
        "INSERT INTO operation (id, digest, status, code, detail, members, decided_at, sent_at)"  # noqa: S608
        f" VALUES {_places(len(ordered), 8)} ON CONFLICT DO NOTHING RETURNING id",
        [part for one in ordered for part in (*one, _APPLIED, "", "", "{}", now, sent_at)],
    ).rows
    return {operation_id for (operation_id,) in rows}


def settle(transaction: Transaction, outcomes: Iterable[Outcome]) -> None:
    """Keep what claimed operations came to."""
    others = [outcome for outcome in outcomes if outcome.refusal is not None or outcome.created]
    if others:
        transaction.execute(
            "UPDATE operation SET status = outcome.column2, code = outcome.column3, detail = outcome.column4,"  # noqa: S608
            f" members = outcome.column5 FROM (VALUES {_places(len(others), 5)}) AS outcome"
            " WHERE operation.id = outcome.column1",
            [part for outcome in others for part in (outcome.id, *_columns(outcome))],
        )


def find_operations(transaction: Transaction, ids: Sequence[str]) -> dict[str, tuple[str, Outcome]]:
    """Return the digest and the outcome of those operations that were decided, by id."""
    if not ids:
        return {}
    rows = transaction.execute(
        f"SELECT id, digest, status, code, detail, members FROM operation WHERE id IN ({_marks(len(ids))})",  # noqa: S608
        ids,
    ).rows
    return {row[0]: (row[1], _outcome(row)) for row in rows}


def acknowledge(transaction: Transaction, ids: Sequence[str], now: float) -> None:
    """Note that nobody will ask for these again. Those that are unknown, or came without a date, are passed over."""
    if ids:
        transaction.execute(
            "UPDATE operation SET acknowledged_at = ? WHERE id IN ("  # noqa: S608
            f"SELECT id FROM operation WHERE id IN ({_marks(len(ids))}) AND sent_at IS NOT NULL"
            f" AND acknowledged_at IS NULL ORDER BY id {transaction.dialect.lock})",
            (now, *ids),
        )


def forget(transaction: Transaction, acknowledged_before: float, limit: int) -> None:
    """Delete up to `limit` operations that were acknowledged before then."""
    rows = transaction.execute(
        "SELECT id FROM operation WHERE acknowledged_at < ? ORDER BY acknowledged_at"  # noqa: S608
        f" LIMIT ? {transaction.dialect.skip_locked}",
        (acknowledged_before, limit),
    ).rows
    if rows:
        ids = [operation_id for (operation_id,) in rows]
        transaction.execute(f"DELETE FROM operation WHERE id IN ({_marks(len(ids))})", ids)  # noqa: S608


_SELECT_ITEM = "SELECT category, code, name, price, qty FROM item"
_FIND_ITEM = f"{_SELECT_ITEM} WHERE category = ? AND code = ?"


def _places(rows: int, columns: int) -> str:
    return ", ".join([f"({_marks(columns)})"] * rows)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _item(row: tuple[Any, ...]) -> StoredItem:
    category, code, name, price, qty = row
    return StoredItem(Key(category, code), name, price, qty)


def _columns(outcome: Outcome) -> tuple[int, str, str, str]:
    if outcome.refusal is None:
        return _CREATED if outcome.created else _APPLIED, "", "", "{}"
    members = msgspec.json.encode(outcome.refusal.members).decode()
    return outcome.refusal.status, outcome.refusal.code, outcome.refusal.detail, members


def _outcome(row: tuple[Any, ...]) -> Outcome:
    operation_id, _, status, code, detail, members = row
    if status in {_APPLIED, _CREATED}:
        return Outcome(operation_id, created=status == _CREATED)
    return Outcome(operation_id, _REFUSALS[status](code, detail, members=msgspec.json.decode(members)))
