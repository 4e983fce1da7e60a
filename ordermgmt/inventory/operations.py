"""The verbs of stock. Each change is one durable transaction and carries an operation id that is decided once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ordermgmt.clock import Clock
from ordermgmt.errors import Conflict, NotFound, Unavailable, UnprocessableContent
from ordermgmt.inventory import domain, store
from ordermgmt.inventory.contract import (
    DEFAULT_PAGE,
    NO_SUCH_CATEGORY,
    NO_SUCH_ITEM,
    Goods,
    Item,
    Operation,
    Outcome,
    Stock,
)
from ordermgmt.inventory.domain import Key
from ordermgmt.storage import Database, Transaction

__all__ = ["Inventory"]

_START = Key("", "")


class Inventory:
    """Stock in a database. The database stays the caller's.

    Every verb raises `Unavailable` if the database cannot be used. The changes are atomic under cancellation,
    and may be sent again under the same id whatever happened.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Decide each operation by itself, all lines or none, and return the outcomes in the same order.

        An operation that was decided before has its first outcome again, a refusal included.
        """
        now = self._clock.now()

        def decide(transaction: Transaction) -> list[Outcome]:
            return [_apply(transaction, operation, now) for operation in operations]

        return await self._database.write(decide)

    async def stock_up(self, key: Key, goods: Goods) -> Outcome:
        """Add an item, or pieces of a known one. The outcome is decided once, as in `apply`."""
        now = self._clock.now()
        digest = domain.digest_of_goods(key, goods)

        def decide(transaction: Transaction) -> Outcome:
            def change() -> bool:
                before = store.find_item(transaction, key)
                store.save_item(transaction, domain.apply_goods(before, key, goods))
                return before is None

            return _decide_once(transaction, goods.operation, digest, now, change)

        return await self._database.write(decide)

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
        return Stock(page, f"{page[-1].category}/{page[-1].code}" if len(found) > limit else msgspec.UNSET)

    async def unready(self) -> str | None:
        """Return why no verb would work now, or None."""
        try:
            await self.items(limit=1)
        except Unavailable as error:
            return str(error)
        return None


def _apply(transaction: Transaction, operation: Operation, now: float) -> Outcome:
    deltas = domain.merge(operation.lines)

    def change() -> bool:
        stock = store.read_stock(transaction, deltas)
        store.save_stock(transaction, domain.apply_deltas(stock, deltas))
        return False

    return _decide_once(transaction, operation.id, domain.digest_of_lines(deltas), now, change)


def _decide_once(
    transaction: Transaction, operation_id: str, digest: str, now: float, change: Callable[[], bool]
) -> Outcome:
    """Return the first answer to this id, which is found, or made now and kept.

    `change` decides before it writes, so that a refusal leaves nothing behind; it tells whether it made an item.
    """
    first = domain.first_answer(store.find_operation(transaction, operation_id), operation_id, digest)
    if first is not None:
        return first
    try:
        outcome = Outcome(operation_id, created=change())
    except (Conflict, UnprocessableContent) as refusal:
        outcome = Outcome(operation_id, refusal)
    store.save_operation(transaction, digest, outcome, now)
    return outcome


def _item(item: domain.StoredItem) -> Item:
    return Item(*item.key, item.name, domain.dollars(item.price), item.qty)
