"""What is asked for each request costs the same among a million orders: SQLite goes by an index, and sorts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.inventory import domain, store
from ordermgmt.inventory.contract import Line, Operation
from ordermgmt.inventory.domain import Key
from ordermgmt.order import changes, journal_store
from ordermgmt.order import store as orders
from ordermgmt.order.contract import Item
from ordermgmt.order.domain import Actor
from ordermgmt.order.idempotency import IdempotencyKey
from ordermgmt.order.journal import Ask, Entry, Plan, State, Verdict
from ordermgmt.storage import Transaction, open_database
from ordermgmt.threads import InlineThreads

ALICE = Actor("sts", "alice")
ITEMS = (Item("books", "1", 2),)
KEY = Key("books", "1")


class Explained:
    """A transaction that notes how SQLite goes about each statement."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.dialect = transaction.dialect
        self.now = transaction.now
        self.steps: list[tuple[str, str]] = []

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        plan = self._transaction.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).rows
        self.steps += [(step, sql) for *_, step in plan]
        return self._transaction.execute(sql, parameters)


def change(tx: Any) -> None:
    """Go through both transactions of a create, as the order service does."""
    ask = Ask("create", "1", ALICE, IdempotencyKey("k", "f"), None, "One", ITEMS)
    plan = Plan(ask.name, ask.items, {}, None)
    draft = Entry("e", "create", "1", plan, None, ALICE, ask.key, 1.0, State.PENDING, None, "me", 9.0, 1)
    entry = changes.intend(tx, ask, draft)
    journal_store.acknowledge(tx, ["a", "b"])
    journal_store.forget_expired(tx, 2.0, 4)
    assert changes.conclude(tx, entry, Verdict(State.APPLIED, decided=True), 2.0).state is State.APPLIED
    journal_store.glance(tx, 2.0, finished_before=1.0, limit=9)
    journal_store.claim(tx, "me", 20.0, lease=9.0, limit=9)


def decide(tx: Any) -> None:
    """Go through the transaction of a batch, as inventory does."""
    demand = domain.demand(Operation("o", (Line(*KEY, -1),)))
    store.acknowledge(tx, ["a", "b"], 1.0)
    store.claim(tx, [demand.claim], 1.0, 1.0)
    store.find_operations(tx, ["a"])
    store.lock_stock(tx, [KEY])
    store.move_stock(tx, {KEY: -1})
    store.forget(tx, 1.0, 9)


HOT: dict[str, tuple[str, Callable[[Any], object]]] = {
    "get": ("order", lambda tx: orders.find(tx, "1")),
    "first page": ("order", lambda tx: orders.newest(tx, owner=None, before=None, limit=51)),
    "next page": ("order", lambda tx: orders.newest(tx, owner=None, before=9, limit=51)),
    "own page": ("order", lambda tx: orders.newest(tx, owner=ALICE, before=9, limit=51)),
    "history": ("order", lambda tx: orders.change_rows(tx, "1")),
    "change": ("order", change),
    "batch": ("inventory", decide),
    "item": ("inventory", lambda tx: store.find_item(tx, KEY)),
    "page of items": ("inventory", lambda tx: store.list_items(tx, "books", KEY, 51)),
}


@pytest.mark.parametrize("what", HOT)
async def test_nothing_is_looked_for_row_by_row(what: str, tmp_path: Path) -> None:
    service, ask = HOT[what]
    migrations = files(f"ordermgmt.{service}") / "migrations"
    path = tmp_path / "data" / "service.sqlite"
    async with open_database(path, migrations, threads=InlineThreads(), clock=SystemClock()) as database:

        def explain(transaction: Transaction) -> list[tuple[str, str]]:
            explained = Explained(transaction)
            ask(explained)
            return explained.steps

        steps = await database.write(explain)
    assert steps
    assert not [step for step in steps if is_slow(*step)]


def is_slow(step: str, sql: str) -> bool:
    """Tell whether a step of a plan reads more than it gives: a table from end to end, or all of it to sort it.

    A walk along an index is none with a LIMIT, nor over the few that are unfinished; nor are values of the statement,
    nor to sort the rows that those name.
    """
    if step.startswith("SCAN") and "USING" in step:
        return not ("LIMIT" in sql or "journal_unfinished" in step)
    values = ("SCAN CONSTANT", "SCAN wanted", "SCAN change", "SCAN (subquery", "SCAN 2-ITEM", "SCAN outcome")
    sorts = step.startswith("USE TEMP B-TREE") and "AS wanted" not in sql
    return sorts or (step.startswith("SCAN") and not step.startswith(values))


def test_the_test_sees_what_would_be_slow() -> None:
    assert is_slow("SCAN orders", "SELECT 1 FROM orders WHERE name = ?")
    assert is_slow("USE TEMP B-TREE FOR ORDER BY", "SELECT 1 FROM orders ORDER BY name LIMIT 1")
    assert not is_slow("SEARCH orders USING INDEX sqlite_autoindex_orders_1 (id=?)", "SELECT 1")
