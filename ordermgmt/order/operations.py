"""The verbs of orders: what happens in which order, and where a transaction begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Conflict, NotFound, OutcomeUnknown
from ordermgmt.ids import Entropy, new_id
from ordermgmt.net.steps import step
from ordermgmt.order import changes, domain, idempotency, journal, journal_store, store
from ordermgmt.order.contract import CreateOrder, UpdateOrder
from ordermgmt.order.dispatch import Dispatcher, StockKeeper
from ordermgmt.order.domain import Actor, StoredOrder
from ordermgmt.order.holdings import Holdings
from ordermgmt.order.idempotency import IdempotencyKey
from ordermgmt.order.journal import Ask, Backlog, Entry, Plan, State
from ordermgmt.order.settlement import Settlement
from ordermgmt.storage import Database, OpenDatabase, Transaction, storage_figures, unready_reason
from ordermgmt.telemetry.metrics import Figure

__all__ = ["Done", "Journal", "Orders", "Page", "StockKeeper"]

MAX_LISTED = 1000
"""Entries that a list of the journal shows."""


@dataclass(frozen=True, slots=True)
class Done:
    """A change that was made: of which order, and the version that it has now (had last, after a cancel)."""

    order_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some orders, newest first, and where the next page starts, if there is one."""

    orders: tuple[StoredOrder, ...]
    next: int | None


class Orders:
    """Orders in a database, with their goods taken from a stock keeper; both stay the caller's.

    A change is written down first and then belongs to `nursery`, not to the request that asked for it: a caller that
    is cancelled ends its own wait, never the change. `timeout` is what the stock keeper has for one request,
    `patience` how long a caller waits for the outcome, in seconds; `hop` is entered around each request to it. `run`
    must be running.

    Every change raises Unavailable if it was not done and never will be, and OutcomeUnknown if nobody knows in time.
    With a key, asking again joins the change or returns what it came to.
    """

    def __init__(
        self,
        database: OpenDatabase,
        stock: StockKeeper,
        *,
        clock: Clock,
        entropy: Entropy,
        nursery: trio.Nursery,
        timeout: float,
        patience: float,
        hop: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.journal = Journal(database)
        self.holdings = Holdings(database)
        # Half a request's time to wait for one, so that it ends before the lease does.
        self.dispatcher = Dispatcher(stock, timeout=timeout, patience=timeout / 2, clock=clock, hop=hop)
        self._settlement = Settlement(
            database,
            self.dispatcher,
            holder=new_id(entropy),
            lease=1.5 * timeout,
            clock=clock,
            nursery=nursery,
        )
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._patience = patience

    @property
    def backlog(self) -> Backlog:
        """Changes without an outcome, as of the last look of a second ago."""
        return self._settlement.backlog

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask inventory, and take up what was left behind, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.dispatcher.run)
            await nursery.start(self._settlement.run)
            task_status.started()

    def stop_recovery(self) -> None:
        """Take up nothing more, so that the nursery ends when the attempts under way do."""
        self._settlement.stop()

    async def create(self, wanted: CreateOrder, actor: Actor, key: str | None = None) -> Done:
        """Take the goods and store the order. Raises Conflict, UnprocessableContent."""
        domain.check_items(wanted.items)
        order_id = wanted.id if wanted.id is not None else new_id(self._entropy)
        named = IdempotencyKey(key, idempotency.fingerprint("", wanted)) if key is not None else None
        return await self._change(Ask("create", order_id, actor, named, None, wanted.name, wanted.items))

    async def update(
        self, order_id: str, wanted: UpdateOrder, actor: Actor, if_match: str | None, key: str | None = None
    ) -> Done:
        """Exchange the goods and store the order as it shall be.

        Raises NotFound, PreconditionFailed, Conflict, UnprocessableContent.
        """
        domain.check_items(wanted.items)
        named = IdempotencyKey(key, idempotency.fingerprint(order_id, wanted)) if key is not None else None
        return await self._change(Ask("update", order_id, actor, named, if_match, wanted.name, wanted.items))

    async def cancel(self, order_id: str, actor: Actor, if_match: str | None, key: str | None = None) -> Done:
        """Give the goods back and remove the order. Raises NotFound, PreconditionFailed, Conflict."""
        named = IdempotencyKey(key, idempotency.fingerprint(order_id)) if key is not None else None
        return await self._change(Ask("cancel", order_id, actor, named, if_match))

    async def read(self, order_id: str) -> StoredOrder:
        """Return an order. Raises NotFound."""
        found = await self._database.read(lambda tx: store.find(tx, order_id))
        return domain.require_visible(found, order_id)

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
        return await unready_reason(self._database)

    async def figures(self) -> list[Figure]:
        """Return what is under way, and what it has taken so far."""
        backlog, dispatcher = self.backlog, self.dispatcher
        return [
            Figure(
                "ordermgmt_journal_unfinished", "gauge", "Changes of orders without an outcome.", backlog.unfinished
            ),
            Figure(
                "ordermgmt_journal_stuck", "gauge", "Changes of orders that wait for a retry by hand.", backlog.stuck
            ),
            Figure(
                "ordermgmt_journal_oldest_seconds",
                "gauge",
                "Age of the oldest change without an outcome.",
                backlog.oldest,
            ),
            Figure("ordermgmt_inventory_hops_total", "counter", "Requests to inventory for changes.", dispatcher.hops),
            Figure(
                "ordermgmt_operations_sent_total",
                "counter",
                "Operations sent to inventory, each time that they were.",
                dispatcher.sent,
            ),
            *storage_figures(self._database),
        ]

    async def _change(self, ask: Ask) -> Done:
        entry_id, claimed_at = new_id(self._entropy), self._clock.now()
        settlement = self._settlement

        def intend(tx: Transaction) -> Entry:
            now = tx.now()
            draft = Entry(
                id=entry_id,
                kind=ask.kind,
                order_id=ask.order_id,
                plan=Plan(ask.name, ask.items, {}, None),
                version=None,
                actor=ask.actor,
                key=ask.key,
                created_at=now,
                state=State.PENDING,
                reason=None,
                holder=settlement.holder,
                lease_until=now + settlement.lease,
                attempt=1,
            )
            return changes.intend(tx, ask, draft)

        with settlement.admission():
            try:
                with step("intent"):
                    entry = await self._database.write(intend)
            except OutcomeUnknown as error:
                raise journal.unknown() from error
            # No checkpoint from here on until the entry is in the nursery's hands.
            started = entry.id == entry_id and not entry.state.is_final
            if started:
                settlement.start(entry, claimed_at=claimed_at)
        if not entry.state.is_final:
            entry = await settlement.outcome(entry, patience=self._patience, started=started)
        return Done(entry.order_id, journal.outcome(entry))


class Journal:
    """The unfinished entries of the journal, for operators. The database stays the caller's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self) -> list[Entry]:
        """Return the entries without an outcome, oldest first, at most MAX_LISTED."""
        return await self._database.read(lambda tx: journal_store.unfinished(tx, MAX_LISTED))

    async def retry(self, entry_id: str) -> None:
        """Have an entry taken up at once, a stuck one, too. Raises NotFound, or Conflict if it has its outcome."""

        def write(tx: Transaction) -> None:
            if journal_store.retry(tx, entry_id, tx.now()):
                return
            if journal_store.find(tx, entry_id) is None:
                raise NotFound("no-such-operation", f"the journal has no operation '{entry_id}'")
            raise Conflict("operation-finished", f"operation '{entry_id}' has its outcome already")

        await self._database.write(write)
