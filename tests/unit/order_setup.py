"""Orders over real files and the real verbs of stock, with a wire between them that fails as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, Internal, NotFound, OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import Batch, Operation, Outcome
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.order.contract import CreateOrder, Item, UpdateOrder
from ordermgmt.order.domain import Actor
from ordermgmt.order.operations import Done, Orders
from ordermgmt.storage import Location, OpenDatabase, PostgresSchema, Transaction, open_database
from ordermgmt.testing import harness
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.threads import InlineThreads, Threads

T = TypeVar("T")
TIMEOUT, PATIENCE = 10.0, 15.0
ALICE, ADMIN = Actor("sts", "alice"), Actor("sts", "admin", "client:gateway")
BOOK = Key("books", "978-1617295959")
Fault = Callable[["Stock", Batch], Awaitable[list[Outcome]]]


def create(order_id: str | None = "1", qty: int = 1, name: str = "One") -> CreateOrder:
    return CreateOrder(name, books(qty), order_id)


def update(qty: int = 1, name: str = "Two") -> UpdateOrder:
    return UpdateOrder(name, books(qty))


def books(qty: int) -> tuple[Item, ...]:
    return (Item(*BOOK, qty),)


class Stock:
    """A stock keeper: real stock behind a wire. Each request meets the next fault of `script`, or none."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self.inventory = inventory
        self.clock = clock
        self.script: deque[Fault] = deque()
        self.always: Fault | None = None
        self.batches: list[Batch] = []

    async def apply_all(
        self, operations: Sequence[Operation], acknowledged: Sequence[str] = (), *, sent_at: float | None = None
    ) -> list[Outcome]:
        batch = Batch(sent_at if sent_at is not None else self.clock.now(), tuple(operations), tuple(acknowledged))
        self.batches.append(batch)
        await trio.lowlevel.checkpoint()
        fault = self.script.popleft() if self.script else self.always
        return await (fault or Stock.deliver)(self, batch)

    async def deliver(self, batch: Batch) -> list[Outcome]:
        return await self.inventory.apply(batch)

    async def qty(self) -> int:
        return (await self.inventory.item(BOOK)).qty

    @property
    def asked(self) -> list[tuple[int, bool]]:
        """How many operations each request held, and whether any was to be abandoned."""
        return [
            (len(batch.operations), any(operation.abandon for operation in batch.operations)) for batch in self.batches
        ]


async def unreachable(stock: Stock, batch: Batch) -> list[Outcome]:
    raise Unavailable("inventory-unreachable", retry_after=1)


async def request_lost(stock: Stock, batch: Batch) -> list[Outcome]:
    raise OutcomeUnknown("inventory-no-answer")


async def answer_lost(stock: Stock, batch: Batch) -> list[Outcome]:
    await stock.deliver(batch)
    raise OutcomeUnknown("inventory-no-answer")


async def not_understood(stock: Stock, batch: Batch) -> list[Outcome]:
    raise Internal("inventory-request")


async def silent(stock: Stock, batch: Batch) -> list[Outcome]:
    await trio.sleep_forever()
    raise AssertionError


@dataclass
class Gate:
    """Lets a request through, or its answer back, when it is opened."""

    before: bool = True
    reached: trio.Event = field(default_factory=trio.Event)
    opened: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, stock: Stock, batch: Batch) -> list[Outcome]:
        outcomes = [] if self.before else await stock.deliver(batch)
        self.reached.set()
        await self.opened.wait()
        return await stock.deliver(batch) if self.before else outcomes


class FailingDatabase:
    """A database whose next writes fail with `failures`, and that cannot be read while it is `unreadable`.

    Of the next `lost_answers` writes nobody hears that they are done.
    """

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self.failures: deque[Error] = deque()
        self.lost_answers = 0
        self.unreadable = False

    @property
    def commits(self) -> int:
        return self._database.commits

    @property
    def transactions(self) -> int:
        return self._database.transactions

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        if self.unreadable:
            raise Unavailable("storage-unavailable")
        return await self._database.read(fn)

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        if self.failures:
            raise self.failures.popleft()
        result = await self._database.write(fn)
        if self.lost_answers:
            self.lost_answers -= 1
            raise OutcomeUnknown("storage-outcome-unknown")
        return result

    def close(self) -> None:
        self._database.close()


@dataclass
class Replica:
    """An order service without its HTTP."""

    orders: Orders
    stock: Stock
    database: FailingDatabase
    nursery: trio.Nursery

    def crash(self) -> None:
        self.nursery.cancel_scope.cancel()

    async def held(self, order_id: str = "1") -> int | None:
        """How many books an order holds, None if there is no such order."""
        try:
            return (await self.orders.read(order_id)).items[0].qty
        except NotFound:
            return None

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return await self.database.read(lambda tx: tx.execute(sql).rows)

    async def states(self) -> list[str]:
        return [state for (state,) in await self.rows("SELECT state FROM journal ORDER BY created_at, id")]


def place(where: Location, service: str) -> Location:
    """Return where a service keeps its data: in a file in the folder, or in a schema of the database."""
    if isinstance(where, PostgresSchema):
        return replace(where, schema=f"{service}_data")
    dsn = harness.default_database(where)
    return PostgresSchema(dsn, f"{service}_data") if dsn else where / f"{service}.sqlite"


@asynccontextmanager
async def opened_stock(where: Location, clock: Clock, threads: Threads | None = None) -> AsyncIterator[Inventory]:
    migrations = files("ordermgmt.inventory") / "migrations"
    at = place(where, "inventory")
    async with open_database(at, migrations, threads=threads or InlineThreads(), clock=clock) as database:
        yield Inventory(database)


@asynccontextmanager
async def replica(
    where: Location,
    inventory: Inventory,
    clock: Clock,
    *,
    seed: int = 0,
    threads: Threads | None = None,
    hop: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> AsyncIterator[Replica]:
    """Run an order service over what is in `where`; leaving the block ends it as a crash would."""
    migrations = files("ordermgmt.order") / "migrations"
    async with (
        open_database(place(where, "order"), migrations, threads=threads or InlineThreads(), clock=clock) as file,
        trio.open_nursery() as nursery,
    ):
        stock, database = Stock(inventory, clock), FailingDatabase(file)
        orders = Orders(
            database,
            stock,
            clock=clock,
            entropy=Random(seed).randbytes,  # noqa: S311 - a test that repeats
            nursery=nursery,
            timeout=TIMEOUT,
            patience=PATIENCE,
            hop=hop,
        )
        await nursery.start(orders.run)
        yield Replica(orders, stock, database, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Replica]:
    """Run one order service and its stock."""
    clock = VirtualClock()
    async with opened_stock(folder, clock) as inventory, replica(folder, inventory, clock) as one:
        yield one


async def result(call: Awaitable[Done]) -> tuple[int, str]:
    """Return the status that a change would be answered with, and the error's code."""
    try:
        await call
    except Error as error:
        return error.status, error.code
    return 200, ""


async def at_once(*calls: Awaitable[Done]) -> list[tuple[int, str]]:
    """Make calls at the same time, and return their results in the same order."""
    results: dict[int, tuple[int, str]] = {}

    async def one(place: int, call: Awaitable[Done]) -> None:
        results[place] = await result(call)

    async with trio.open_nursery() as nursery:
        for place, call in enumerate(calls):
            nursery.start_soon(one, place, call)
    return [results[place] for place in range(len(calls))]
