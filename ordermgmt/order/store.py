"""The SQL of the order service: plain functions of an open transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from ordermgmt.order.contract import Item
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.order.journal import Entry
from ordermgmt.storage import Transaction

__all__ = [
    "ChangeRow",
    "change_rows",
    "delete",
    "find",
    "insert",
    "last_version",
    "newest",
    "next_version",
    "record",
    "skip_versions",
    "update",
    "version_of",
]

_COLUMNS = "id, name, items, owner_iss, owner_sub, version, created_at, updated_at"
_ITEMS = msgspec.json.Decoder(tuple[Item, ...])


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One kept change of an order."""

    version: int
    action: str
    at: float
    actor: Actor
    name: str
    items: tuple[Item, ...]


def find(tx: Transaction, order_id: str) -> StoredOrder | None:
    """Return an order, or None."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM orders WHERE id = ?", (order_id,)).rows  # noqa: S608 - constant
    return _order(rows[0]) if rows else None


def version_of(tx: Transaction, order_id: str) -> int | None:
    """Return the version of an order, or None if there is none."""
    rows = tx.execute("SELECT version FROM orders WHERE id = ?", (order_id,)).rows
    return int(rows[0][0]) if rows else None


def next_version(tx: Transaction) -> int:
    """Take the next version: greater than every one before it, in this order and in all others."""
    rows = tx.execute("UPDATE counters SET value = value + 1 WHERE name = 'version' RETURNING value").rows
    return int(rows[0][0])


def last_version(tx: Transaction) -> int:
    """Return the version that was taken last: while it stays the same, no order changes."""
    rows = tx.execute("SELECT value FROM counters WHERE name = 'version'").rows
    return int(rows[0][0])


def skip_versions(tx: Transaction) -> None:
    """Leave out a thousand million versions: those that were taken after a backup are then not taken twice.

    Otherwise an entity tag of a lost version would match another one with the same number. There is room for nine
    thousand million restores.
    """
    tx.execute("UPDATE counters SET value = value + 1000000000 WHERE name = 'version'")


def insert(tx: Transaction, order: StoredOrder) -> bool:
    """Store a new order; False if its id is taken."""
    result = tx.execute(
        "INSERT INTO orders (id, name, items, owner_iss, owner_sub, created_version, version, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            order.id,
            order.name,
            _encode(order.items),
            order.owner_iss,
            order.owner_sub,
            order.version,
            order.version,
            order.created_at,
            order.updated_at,
        ),
    )
    return result.rowcount == 1


def update(tx: Transaction, entry: Entry, now: float) -> bool:
    """Store an order as an entry of the journal says; False if it is not the version that the entry replaces."""
    plan = entry.plan
    result = tx.execute(
        "UPDATE orders SET name = ?, items = ?, version = ?, updated_at = ? WHERE id = ? AND version = ?",
        (plan.name, _encode(plan.items), entry.version, now, entry.order_id, plan.replaces),
    )
    return result.rowcount == 1


def delete(tx: Transaction, entry: Entry) -> bool:
    """Remove an order; False if it is not the version that the entry was worked out from."""
    result = tx.execute("DELETE FROM orders WHERE id = ? AND version = ?", (entry.order_id, entry.plan.replaces))
    return result.rowcount == 1


def record(tx: Transaction, entry: Entry, action: str, at: float) -> None:
    """Keep who did what: the order as it is after a create or update, as it was before a cancel.

    Called while the order is in its table, so that the change is tied to this life of its id.
    """
    plan, actor = entry.plan, entry.actor
    tx.execute(
        "INSERT INTO changes (version, order_id, created_version, action, at, iss, sub, via, full_name, name, items)"
        " SELECT ?, id, created_version, ?, ?, ?, ?, ?, ?, ?, ? FROM orders WHERE id = ?",
        (
            entry.version,
            action,
            at,
            actor.iss,
            actor.sub,
            actor.via,
            actor.full_name,
            plan.name,
            _encode(plan.items),
            entry.order_id,
        ),
    )


def newest(tx: Transaction, *, owner: Actor | None, before: int | None, limit: int) -> list[tuple[int, StoredOrder]]:
    """Return up to `limit` orders, newest first, each with its place in that order, from `before` on.

    With an `owner` only theirs. Reads exactly the rows that it returns, whatever the table holds.
    """
    conditions: list[str] = []
    parameters: list[str | int] = []
    if owner is not None:
        conditions.append("owner_iss = ? AND owner_sub = ?")
        parameters += [owner.iss, owner.sub]
    if before is not None:
        conditions.append("created_version < ?")
        parameters.append(before)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = tx.execute(
        f"SELECT created_version, {_COLUMNS} FROM orders {where}ORDER BY created_version DESC LIMIT ?",  # noqa: S608
        (*parameters, limit),
    ).rows
    return [(int(row[0]), _order(row[1:])) for row in rows]


def change_rows(tx: Transaction, order_id: str) -> list[ChangeRow]:
    """Return the kept changes of the order that has this id now, oldest first."""
    rows = tx.execute(
        "SELECT c.version, c.action, c.at, c.iss, c.sub, c.via, c.full_name, c.name, c.items FROM changes c"
        " JOIN orders o ON o.created_version = c.created_version WHERE o.id = ? ORDER BY c.version",
        (order_id,),
    ).rows
    return [
        ChangeRow(version, action, at, Actor(iss, sub, via, full_name), name, _ITEMS.decode(items))
        for version, action, at, iss, sub, via, full_name, name, items in rows
    ]


def _order(row: Iterable[Any]) -> StoredOrder:
    order_id, name, items, owner_iss, owner_sub, version, created_at, updated_at = row
    return StoredOrder(order_id, name, _ITEMS.decode(items), owner_iss, owner_sub, version, created_at, updated_at)


def _encode(items: tuple[Item, ...]) -> str:
    return msgspec.json.encode(items).decode()
