"""The verbs of stock. Each change is one durable transaction and carries an operation id that is decided once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ordermgmt.errors import Conflict, NotFound, Unavailable, UnprocessableContent
from ordermgmt.inventory import domain, store
from ordermgmt.inventory.contract import (
    DEFAULT_PAGE,
    NO_SUCH_CATEGORY,
    NO_SUCH_ITEM,
    Balance,
    Balances,
    Batch,
    Goods,
    Item,
    Operation,
    Outcome,
    Stock,
)
from ordermgmt.inventory.domain import Demand, Key
from ordermgmt.storage import OpenDatabase, Transaction, storage_figures
from ordermgmt.telemetry.metrics import Figure

__all__ = ["Inventory"]

_START = Key("", "")


class Inventory:
    """Stock in a database. The database stays the caller's, and its clock is the one that counts.

    Every verb raises `Unavailable` if the database cannot be used, `OutcomeUnknown` if it failed in the very commit.
    The changes are atomic under cancellation, and may be sent again under the same id whatever happened.

    `batches` and `operations` count since the start: batches that were decided, and operations that had an answer, from
    batches or alone, first or again.
    """

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self.batches = 0
        self.operations = 0

    @property
    def commits(self) -> int:
        """How many COMMITs there were since the start."""
        return self._database.commits

    async def figures(self) -> list[Figure]:
        """Return what was decided since the start."""
        return [
            Figure("ordermgmt_inventory_batches_total", "counter", "Batches of operations decided.", self.batches),
            Figure(
                "ordermgmt_inventory_operations_total", "counter", "Operations of batches answered.", self.operations
            ),
            *storage_figures(self._database),
        ]

    async def apply(self, batch: Batch) -> list[Outcome]:
        """Decide each operation by itself, all lines or none, and return the outcomes in the same order.

        An operation that was decided before has its first outcome again, a refusal included; one of other content
        under a known id is refused, and so is one that was abandoned, for good. What is acknowledged is forgotten
        when no copy of it can arrive any more: `domain.FORGET_AFTER` has the arithmetic.
        Raises Conflict for a stale batch, UnprocessableContent for one of too many lines or with an id twice:
        nothing of it was done.
        """
        domain.check_size(batch)
        demands = [domain.demand(operation) for operation in batch.operations]

        def decide(transaction: Transaction) -> list[Outcome]:
            now = transaction.now()
            domain.check_age(batch.sent_at, now)
            store.acknowledge(transaction, batch.acknowledged, now)
            outcomes = _decide(transaction, demands, batch.sent_at, now)
            store.forget(transaction, now - domain.FORGET_AFTER, domain.FORGET_AT_ONCE)
            return outcomes

        outcomes = await self._database.write(decide)
        self.batches += 1
        self.operations += len(outcomes)
        return outcomes

    async def move(self, operation: Operation) -> Outcome:
        """Decide one operation that came without a date. It is decided as in `apply`, and never forgotten."""
        demands = [domain.demand(operation)]
        (outcome,) = await self._database.write(lambda tx: _decide(tx, demands, None, tx.now()))
        self.operations += 1
        return outcome

    async def stock_up(self, key: Key, goods: Goods) -> Outcome:
        """Add an item, or pieces of a known one. The outcome is decided once, as in `apply`, and never forgotten."""
        claim = domain.claim_of_goods(key, goods)

        def decide(transaction: Transaction) -> Outcome:
            now = transaction.now()
            if not store.claim(transaction, [claim], None, now):
                return domain.first_answer(store.find_operations(transaction, [claim.id]).get(claim.id), claim)
            try:
                outcome = Outcome(claim.id, created=_stock_up(transaction, key, goods))
            except (Conflict, UnprocessableContent) as refusal:
                outcome = Outcome(claim.id, refusal)
            if outcome.refusal is None and goods.add:
                store.adjust(transaction, key, claim.id, goods.add, now)
            store.settle(transaction, [outcome])
            return outcome

        outcome = await self._database.write(decide)
        self.operations += 1
        return outcome

    async def item(self, key: Key) -> Item:
        """Return one item. Raises NotFound."""
        found = await self._database.read(lambda transaction: store.find_item(transaction, key))
        if found is None:
            raise NotFound(NO_SUCH_ITEM, f"there is no item {key.category}/{key.code}")
        return _item(found)

    async def items(self, category: str | None = None, *, after: Key | None = None, limit: int = DEFAULT_PAGE) -> Stock:
        """Return a page of items, of one category or of all. Raises NotFound for a category without items."""
        start = after or _START
        found = await self._database.read(lambda transaction: store.list_items(transaction, category, start, limit + 1))
        if category is not None and after is None and not found:
            raise NotFound(NO_SUCH_CATEGORY, f"there is no category {category}")
        page = tuple(_item(item) for item in found[:limit])
        return Stock(page, _next(page, len(found)))

    async def balance(self, *, after: Key | None = None, limit: int = DEFAULT_PAGE) -> Balances:
        """Return a page of what there is of each item and how it came about, all as of one moment."""
        start = after or _START
        found = await self._database.read(lambda transaction: store.list_balances(transaction, start, limit + 1))
        page = tuple(found[:limit])
        return Balances(page, _next(page, len(found)))

    async def unready(self) -> str | None:
        """Return why no verb would work now, or None."""
        try:
            await self.items(limit=1)
        except Unavailable as error:
            return str(error)
        return None


def _decide(transaction: Transaction, demands: Sequence[Demand], sent_at: float | None, now: float) -> list[Outcome]:
    """Decide what is new and look up what is known: one statement each for ids, rows, stock and refusals."""
    if not demands:
        return []
    claimed = store.claim(transaction, [demand.claim for demand in demands], sent_at, now)
    new = [demand for demand in demands if demand.claim.id in claimed]
    known = store.find_operations(transaction, [one.claim.id for one in demands if one.claim.id not in claimed])
    keys = {key for demand in new if not demand.abandon for key in demand.deltas}
    outcomes, changes = domain.decide(store.lock_stock(transaction, sorted(keys)), new)
    store.move_stock(transaction, changes)
    store.settle(transaction, outcomes)
    first = {outcome.id: outcome for outcome in outcomes}
    return [first.get(claim.id) or domain.first_answer(known.get(claim.id), claim) for claim, _, _ in demands]


def _stock_up(transaction: Transaction, key: Key, goods: Goods) -> bool:
    """Add the goods; tell whether the item is new. Raises before anything is written."""
    found = store.lock_item(transaction, key)
    if found is None:
        if store.add_item(transaction, domain.apply_goods(None, key, goods)):
            return True
        # Somebody else has added it just now.
        found = store.lock_item(transaction, key)
    store.save_item(transaction, domain.apply_goods(found, key, goods))
    return False


def _next(page: Sequence[Item | Balance], found: int) -> str | msgspec.UnsetType:
    return f"{page[-1].category}/{page[-1].code}" if found > len(page) else msgspec.UNSET


def _item(item: domain.StoredItem) -> Item:
    return Item(*item.key, item.name, domain.dollars(item.price), item.qty)
