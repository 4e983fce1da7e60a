"""Stock on a real database file, under a clock that is set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from ordermgmt.inventory.contract import Batch, Line, Operation, Outcome
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.storage import open_database
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.threads import InlineThreads

HEADPHONES = Key("electronics", "SOWH1000XM4")
LAPTOP = Key("electronics", "APMBA132021")
BOOK = Key("books", "978-1617295959")
FIRST_STOCK = {LAPTOP: 32, HEADPHONES: 75, BOOK: 10, Key("books", "978-1484220498"): 10}
START = 1_767_225_600.0


class HandClock:
    """Stands still but for `time`."""

    def __init__(self, time: float = START) -> None:
        self.time = time

    def now(self) -> float:
        """Return `time`."""
        return self.time


@asynccontextmanager
async def opened(folder: Path, clock: HandClock | None = None) -> AsyncIterator[tuple[Inventory, SqliteDatabase]]:
    """Open the stock in `folder`."""
    migrations = files("ordermgmt.inventory") / "migrations"
    async with open_database(
        folder / "inventory.db", migrations, threads=InlineThreads(), clock=clock or HandClock()
    ) as database:
        assert isinstance(database, SqliteDatabase)
        yield Inventory(database), database


def take(operation_id: str, *deltas: tuple[Key, int], abandon: bool = False) -> Operation:
    """Make an operation."""
    return Operation(operation_id, tuple(Line(*key, qty) for key, qty in deltas), abandon)


async def apply(inventory: Inventory, operations: Sequence[Operation], *acknowledged: str) -> list[Outcome]:
    """Have a batch decided that was sent at START."""
    return await inventory.apply(Batch(START, tuple(operations), acknowledged))


def summary(outcome: Outcome) -> tuple[object, ...]:
    """Return all that an outcome says, for comparison."""
    refusal = outcome.refusal
    if refusal is None:
        return outcome.id, "applied", outcome.created
    return outcome.id, type(refusal), refusal.code, refusal.detail, tuple(refusal.members.items())


def code(outcome: Outcome) -> str | None:
    """Return why an operation was refused; None if it was not."""
    return None if outcome.refusal is None else outcome.refusal.code


async def stock(inventory: Inventory) -> dict[Key, int]:
    """Return what there is of each item; every item's balance has to agree."""
    page = await inventory.balance()
    assert all(item.adjusted + item.moved == item.qty for item in page.items)
    return {Key(item.category, item.code): item.qty for item in page.items}


def decided_ids(database: SqliteDatabase) -> list[str]:
    """Return the ids that are kept."""
    return [row[0] for row in database._reader.execute("SELECT id FROM operation ORDER BY id")]
