"""Stock and decided operations as rows. Every function runs on the caller's open transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ordermgmt.errors import Conflict, Error, UnprocessableContent
from ordermgmt.inventory.contract import Outcome
from ordermgmt.inventory.domain import Key, StoredItem
from ordermgmt.storage import Transaction

__all__ = ["find_item", "find_operation", "list_items", "read_stock", "save_item", "save_operation", "save_stock"]

_APPLIED, _CREATED = 200, 201
_REFUSALS: Mapping[int, type[Error]] = {kind.status: kind for kind in (Conflict, UnprocessableContent)}


def read_stock(transaction: Transaction, keys: Collection[Key]) -> dict[Key, int]:
    """Return how many pieces there are of those items that exist."""
    values = ", ".join(["(?, ?)"] * len(keys))
    rows = transaction.execute(
        f"SELECT category, code, qty FROM item WHERE (category, code) IN (VALUES {values})",  # noqa: S608
        [part for key in keys for part in key],
    ).rows
    return {Key(category, code): qty for category, code, qty in rows}


def save_stock(transaction: Transaction, stock: Mapping[Key, int]) -> None:
    """Set how many pieces there are."""
    for key, qty in stock.items():
        transaction.execute("UPDATE item SET qty = ? WHERE category = ? AND code = ?", (qty, *key))


def find_item(transaction: Transaction, key: Key) -> StoredItem | None:
    """Return an item, or None."""
    rows = transaction.execute(f"{_SELECT} WHERE category = ? AND code = ?", key).rows
    return _item(rows[0]) if rows else None


def save_item(transaction: Transaction, item: StoredItem) -> None:
    """Add an item, or set all of a known one."""
    transaction.execute(
        "INSERT INTO item (category, code, name, price, qty) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (category, code) DO UPDATE SET name = excluded.name, price = excluded.price, qty = excluded.qty",
        (*item.key, item.name, item.price, item.qty),
    )


def list_items(transaction: Transaction, category: str | None, after: Key, limit: int) -> list[StoredItem]:
    """Return up to `limit` items that follow `after`, by category and code; of one category, or of all."""
    if category is None:
        rows = transaction.execute(
            f"{_SELECT} WHERE (category, code) > (?, ?) ORDER BY category, code LIMIT ?", (*after, limit)
        ).rows
    else:
        rows = transaction.execute(
            f"{_SELECT} WHERE category = ? AND (category, code) > (?, ?) ORDER BY category, code LIMIT ?",
            (category, *after, limit),
        ).rows
    return [_item(row) for row in rows]


def find_operation(transaction: Transaction, operation_id: str) -> tuple[str, Outcome] | None:
    """Return the digest and the outcome of an operation that was decided, or None."""
    rows = transaction.execute(
        "SELECT digest, status, code, detail, members FROM operation WHERE id = ?", (operation_id,)
    ).rows
    if not rows:
        return None
    ((digest, status, code, detail, members),) = rows
    refusal = None
    if status not in {_APPLIED, _CREATED}:
        refusal = _REFUSALS[status](code, detail, members=msgspec.json.decode(members))
    return digest, Outcome(operation_id, refusal, created=status == _CREATED)


def save_operation(transaction: Transaction, digest: str, outcome: Outcome, now: float) -> None:
    """Keep the first answer of an operation."""
    status = _CREATED if outcome.created else _APPLIED
    code, detail, members = "", "", "{}"
    if outcome.refusal is not None:
        status, code, detail = outcome.refusal.status, outcome.refusal.code, outcome.refusal.detail
        members = msgspec.json.encode(outcome.refusal.members).decode()
    transaction.execute(
        "INSERT INTO operation (id, digest, status, code, detail, members, decided_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (outcome.id, digest, status, code, detail, members, now),
    )


_SELECT = "SELECT category, code, name, price, qty FROM item"


def _item(row: tuple[Any, ...]) -> StoredItem:
    category, code, name, price, qty = row
    return StoredItem(Key(category, code), name, price, qty)
