"""Reading what a balance needs from the databases of orders and of stock, as they are at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ordermgmt.backups.balance import Account, balance
from ordermgmt.errors import StartError
from ordermgmt.inventory import store as stock
from ordermgmt.inventory.contract import Balance
from ordermgmt.inventory.domain import Key
from ordermgmt.order import journal_store
from ordermgmt.order import store as orders
from ordermgmt.storage import Snapshot, Transaction

__all__ = ["accounts"]

_PAGE = 500
"""Rows of one statement."""
_MAX_UNFINISHED = 65_536
"""Changes without an outcome: sixteen times as many as an order service lets there be."""

Good = tuple[str, str]


def accounts(order: Snapshot, inventory: Snapshot) -> list[Account]:
    """Return the account of each good. Both snapshots are pinned. Raises StartError if it cannot be made."""
    held = order.read(_held)
    unfinished = order.read(_unfinished)
    applied = inventory.read(lambda tx: _applied(tx, list(unfinished)))
    return balance(inventory.read(_balances), held, (unfinished[entry_id] for entry_id in applied))


def _held(tx: Transaction) -> Counter[Good]:
    held: Counter[Good] = Counter()
    before = None
    while page := orders.newest(tx, owner=None, before=before, limit=_PAGE):
        for before, order in page:  # noqa: B007 - the last one's place is where the next page starts
            for item in order.items:
                held[item.category, item.code] += item.qty
    return held


def _unfinished(tx: Transaction) -> dict[str, Mapping[Good, int]]:
    entries = journal_store.unfinished(tx, _MAX_UNFINISHED + 1)
    if len(entries) > _MAX_UNFINISHED:
        msg = f"more than {_MAX_UNFINISHED} changes have no outcome"
        raise StartError(msg)
    return {entry.id: entry.plan.deltas for entry in entries}


def _applied(tx: Transaction, ids: list[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), _PAGE):
        outcomes = stock.find_operations(tx, ids[start : start + _PAGE])
        found += [entry_id for entry_id, (_, outcome) in outcomes.items() if outcome.refusal is None]
    return found


def _balances(tx: Transaction) -> list[Balance]:
    rows: list[Balance] = []
    after = Key("", "")
    while page := stock.list_balances(tx, after, _PAGE):
        rows += page
        after = Key(page[-1].category, page[-1].code)
    return rows
