"""The verbs of orders: what happens in which order, and where a transaction begins and ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Conflict, Error, NotFound, OutcomeUnknown, Unavailable
from ordermgmt.ids import Entropy, new_id
from ordermgmt.inventory.contract import Line, Operation, Outcome
from ordermgmt.order import domain, store
from ordermgmt.order.contract import CreateOrder, UpdateOrder
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.storage import Database, Transaction
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Orders", "Page", "StockKeeper"]

T = TypeVar("T")
MAX_RUNNING = 512
"""Changes under way at once: at about 20 kB each, 10 MB. One more is answered 503."""


class StockKeeper(Protocol):
    """Whoever keeps the stock: the inventory service's client."""

    async def apply_all(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Decide each operation once, whatever the number of calls. Raises Unavailable, OutcomeUnknown."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Some orders, newest first, and where the next page starts, if there is one."""

    orders: tuple[StoredOrder, ...]
    next: int | None


class Orders:
    """Orders in a database, with their goods taken from a stock keeper; both stay the caller's.

    A change runs in `nursery`, not in the request that asked for it: a caller that is cancelled ends its own
    wait, never the change. `timeout` is what the stock keeper has for one answer, in seconds.
    """

    def __init__(
        self,
        database: Database,
        stock: StockKeeper,
        *,
        clock: Clock,
        entropy: Entropy,
        nursery: trio.Nursery,
        timeout: float,
    ) -> None:
        self._database = database
        self._stock = stock
        self._clock = clock
        self._entropy = entropy
        self._nursery = nursery
        self._timeout = timeout
        self._running = 0
        self._log = get_logger("order")

    async def create(self, wanted: CreateOrder, actor: Actor) -> StoredOrder:
        """Take the goods and store the order. Raises Conflict, UnprocessableContent, Unavailable, OutcomeUnknown."""
        domain.check_items(wanted.items)
        order_id = wanted.id if wanted.id is not None else new_id(self._entropy)

        async def change() -> StoredOrder:
            if await self._database.read(lambda tx: store.find(tx, order_id)) is not None:
                raise _exists(order_id)
            deltas = domain.net_deltas((), wanted.items)
            await self._move(deltas)
            now = self._clock.now()

            def commit(tx: Transaction) -> StoredOrder:
                if store.find(tx, order_id) is not None:
                    raise _exists(order_id)
                version = store.next_version(tx)
                order = StoredOrder(order_id, wanted.name, wanted.items, actor.iss, actor.sub, version, now, now)
                store.insert(tx, order)
                store.record(tx, order, "created", actor, now)
                return order

            return await self._commit_or_give_back(commit, deltas)

        return await self._apart(change)

    async def read(self, order_id: str) -> StoredOrder:
        """Return an order. Raises NotFound."""
        found = await self._database.read(lambda tx: store.find(tx, order_id))
        return domain.require_visible(found, order_id)

    async def update(self, order_id: str, wanted: UpdateOrder, actor: Actor, if_match: str | None) -> StoredOrder:
        """Exchange the goods and store the order as it shall be.

        Raises NotFound, PreconditionFailed, Conflict, UnprocessableContent, Unavailable, OutcomeUnknown.
        """
        domain.check_items(wanted.items)

        async def change() -> StoredOrder:
            held = await self.read(order_id)
            domain.check_if_match(if_match, held)
            deltas = domain.net_deltas(held.items, wanted.items)
            await self._move(deltas)
            now = self._clock.now()

            def commit(tx: Transaction) -> StoredOrder:
                order = replace(
                    held, name=wanted.name, items=wanted.items, version=store.next_version(tx), updated_at=now
                )
                if not store.update(tx, order, replaces=held.version):
                    raise _changed(order_id)
                store.record(tx, order, "updated", actor, now)
                return order

            return await self._commit_or_give_back(commit, deltas)

        return await self._apart(change)

    async def cancel(self, order_id: str, actor: Actor, if_match: str | None) -> None:
        """Remove the order, then give its goods back. Raises NotFound, PreconditionFailed, Conflict, Unavailable."""

        async def change() -> None:
            held = await self.read(order_id)
            domain.check_if_match(if_match, held)
            deltas = domain.net_deltas(held.items, ())
            await self._move(deltas)
            now = self._clock.now()

            def commit(tx: Transaction) -> None:
                store.record(tx, replace(held, version=store.next_version(tx)), "cancelled", actor, now)
                if not store.delete(tx, order_id, version=held.version):
                    raise _changed(order_id)

            await self._commit_or_give_back(commit, deltas)

        await self._apart(change)

    async def newest(self, owner: Actor | None, *, before: int | None, limit: int) -> Page:
        """Return a page of orders: those of `owner`, or of everybody if None."""
        rows = await self._database.read(lambda tx: store.newest(tx, owner=owner, before=before, limit=limit + 1))
        page = rows[:limit]
        return Page(tuple(order for _, order in page), page[-1][0] if len(rows) > limit else None)

    async def history(self, order_id: str, actor: Actor, *, all_orders: bool) -> list[store.ChangeRow]:
        """Return the changes of an order. Raises NotFound also when the caller may not see them."""

        def read(tx: Transaction) -> tuple[StoredOrder | None, list[store.ChangeRow]]:
            return store.find(tx, order_id), store.change_rows(tx, order_id)

        found, changes = await self._database.read(read)
        order = domain.require_visible(found, order_id)
        if not domain.may_see(order, actor, all_orders=all_orders):
            raise NotFound("no-such-order", f"there is no order '{order_id}' of yours")
        return changes

    async def unready_reason(self) -> str | None:
        """Tell why orders cannot be kept now, or None if they can."""
        try:
            await self._database.read(lambda tx: tx.execute("SELECT 1"))
        except Unavailable as error:
            return str(error)
        return None

    async def _move(self, deltas: Mapping[tuple[str, str], int]) -> None:
        if not deltas:
            return
        lines = tuple(Line(category, code, delta) for (category, code), delta in deltas.items())
        operation = Operation(new_id(self._entropy), lines)
        try:
            with trio.fail_after(self._timeout):
                (outcome,) = await self._stock.apply_all([operation])
        except trio.TooSlowError as error:
            raise OutcomeUnknown("outcome-unknown", "the inventory service did not answer in time") from error
        if outcome.refusal is not None:
            raise outcome.refusal

    async def _commit_or_give_back(
        self, commit: Callable[[Transaction], T], deltas: Mapping[tuple[str, str], int]
    ) -> T:
        try:
            return await self._database.write(commit)
        except Error as error:
            failure = error
        await self._move({key: -delta for key, delta in deltas.items()})
        raise failure

    async def _apart(self, change: Callable[[], Awaitable[T]]) -> T:
        if self._running >= MAX_RUNNING:
            raise Unavailable("busy", "too many changes are under way", retry_after=1)
        done = trio.Event()
        result: list[T] = []
        failure: list[Exception] = []

        async def run() -> None:
            try:
                result.append(await change())
            except Error as error:
                failure.append(error)
            except Exception as error:  # noqa: BLE001 - a fault of one change must not end the others
                self._log.exception("change-failed")
                failure.append(error)
            finally:
                self._running -= 1
                done.set()

        self._running += 1
        self._nursery.start_soon(run)
        await done.wait()
        if failure:
            raise failure[0]
        if not result:
            raise OutcomeUnknown("outcome-unknown", "the service stopped before the outcome was known", retry_after=1)
        return result[0]


def _exists(order_id: str) -> Conflict:
    return Conflict("order-exists", f"order '{order_id}' exists already")


def _changed(order_id: str) -> Conflict:
    return Conflict("order-changed", f"order '{order_id}' was changed by somebody else at the same time", retry_after=1)
