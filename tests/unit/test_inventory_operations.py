"""The verbs of stock on a real database file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordermgmt.clock import SystemClock
from ordermgmt.errors import NotFound, Unavailable, UnprocessableContent
from ordermgmt.inventory.contract import Batch, Goods, Line, Operation, Outcome
from ordermgmt.inventory.domain import Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.storage import open_database
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.threads import InlineThreads

HEADPHONES = Key("electronics", "SOWH1000XM4")
LAPTOP = Key("electronics", "APMBA132021")
BOOK = Key("books", "978-1617295959")
FIRST_STOCK = {LAPTOP: 32, HEADPHONES: 75, BOOK: 10, Key("books", "978-1484220498"): 10}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Inventory, SqliteDatabase]]:
    migrations = files("ordermgmt.inventory") / "migrations"
    async with open_database(
        folder / "inventory.db", migrations, threads=InlineThreads(), clock=SystemClock()
    ) as database:
        assert isinstance(database, SqliteDatabase)
        yield Inventory(database), database


def take(operation_id: str, *deltas: tuple[Key, int]) -> Operation:
    return Operation(operation_id, tuple(Line(*key, qty) for key, qty in deltas))


async def apply(inventory: Inventory, operations: Sequence[Operation]) -> list[Outcome]:
    return await inventory.apply(Batch(SystemClock().now(), tuple(operations)))


def summary(outcome: Outcome) -> tuple[object, ...]:
    refusal = outcome.refusal
    if refusal is None:
        return outcome.id, "applied", outcome.created
    return outcome.id, type(refusal), refusal.code, refusal.detail, tuple(refusal.members.items())


async def stock(inventory: Inventory) -> dict[Key, int]:
    page = await inventory.items()
    return {Key(item.category, item.code): item.qty for item in page.items}


async def test_the_first_start_has_the_first_stock(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        assert await stock(inventory) == FIRST_STOCK
        assert msgspec.to_builtins(await inventory.item(LAPTOP)) == {
            "category": "electronics",
            "code": "APMBA132021",
            "name": "Apple MacBook Air M1 13-inch 2021",
            "price": "1249.00",
            "qty": 32,
        }
        await apply(inventory, [take("all", (BOOK, -10))])
    async with opened(tmp_path) as (inventory, _):
        assert (await inventory.item(BOOK)).qty == 0


async def test_a_batch_decides_each_operation_by_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        outcomes = await apply(
            inventory,
            [
                take("a", (HEADPHONES, -70), (BOOK, -1)),
                take("b", (HEADPHONES, -6), (BOOK, -1)),
                take("c", (HEADPHONES, -5), (LAPTOP, 1)),
                take("d", (Key("books", "none"), 1), (BOOK, 1)),
            ],
        )
        codes = [outcome.refusal and outcome.refusal.code for outcome in outcomes]
        assert codes == [None, "out-of-stock", None, "unknown-item"]
        assert await stock(inventory) == {**FIRST_STOCK, HEADPHONES: 0, BOOK: 9, LAPTOP: 33}


async def test_a_refusal_is_the_answer_for_ever(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        (first,) = await apply(inventory, [take("a", (BOOK, -11))])
        await inventory.stock_up(BOOK, Goods("more", add=100))
    async with opened(tmp_path) as (inventory, _):
        (again,) = await apply(inventory, [take("a", (BOOK, -11))])
        assert summary(again) == summary(first)
        assert (await inventory.item(BOOK)).qty == 110


async def test_the_same_id_twice_in_a_batch_is_no_batch(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        with pytest.raises(UnprocessableContent, match="operation a is there twice"):
            await apply(inventory, [take("b", (BOOK, -1)), take("a", (BOOK, -4)), take("a", (BOOK, -4))])
        assert await stock(inventory) == FIRST_STOCK


async def test_goods_are_added_once(tmp_path: Path) -> None:
    key = Key("toys", "bear")
    goods = Goods("a", add=3, name="Bear", price="9.90")
    async with opened(tmp_path) as (inventory, _):
        first = await inventory.stock_up(key, goods)
        assert summary(first) == ("a", "applied", True)
        assert summary(await inventory.stock_up(key, goods)) == summary(first)
        assert summary(await inventory.stock_up(key, Goods("b", add=2))) == ("b", "applied", False)
        other = await inventory.stock_up(key, Goods("a", add=4, name="Bear", price="9.90"))
        assert other.refusal is not None
        assert other.refusal.code == "operation-mismatch"
        assert msgspec.structs.astuple(await inventory.item(key)) == ("toys", "bear", "Bear", "9.90", 5)


async def test_a_full_disk_takes_nothing_and_the_id_stays_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, database):
        operations = [take(f"{number:064}", (BOOK, -1), (BOOK, 1)) for number in range(256)]
        (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
        database._writer.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(Unavailable):
            await apply(inventory, [take("a", (BOOK, -1)), *operations])
        assert await stock(inventory) == FIRST_STOCK
        database._writer.execute(f"PRAGMA max_page_count = {pages + 1000}")
        (outcome,) = await apply(inventory, [take("a", (BOOK, -1))])
        assert outcome.refusal is None
        assert (await inventory.item(BOOK)).qty == 9


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        seen: list[Key] = []
        after: Key | None = None
        while True:
            page = await inventory.items(after=after, limit=3)
            seen += [Key(item.category, item.code) for item in page.items]
            if isinstance(page.next, msgspec.UnsetType):
                break
            after = Key(*page.next.split("/"))
        assert seen == sorted(FIRST_STOCK)
        books = await inventory.items("books", limit=2)
        assert [item.code for item in books.items] == ["978-1484220498", "978-1617295959"]
        assert books.next is msgspec.UNSET


async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        with pytest.raises(NotFound):
            await inventory.item(Key("books", "none"))
        with pytest.raises(NotFound):
            await inventory.items("toys")


keys = st.sampled_from([*FIRST_STOCK, Key("books", "none")])
qty = st.integers(-40, 20).filter(bool)
batches = st.lists(
    st.lists(
        st.builds(
            lambda operation_id, deltas: take(operation_id, *deltas),
            st.sampled_from(["a", "b", "c", "d", "e", "f"]),
            st.lists(st.tuples(keys, qty), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda operation: operation.id,
    ),
    max_size=6,
)


def effect(operation: Operation) -> dict[Key, int]:
    deltas: dict[Key, int] = {}
    for line in operation.lines:
        key = Key(line.category, line.code)
        deltas[key] = deltas.get(key, 0) + line.qty
    return deltas


@settings(max_examples=40, deadline=None)
@given(batches)
async def test_any_history_is_that_of_a_simple_model(history: Sequence[Sequence[Operation]]) -> None:
    model = dict(FIRST_STOCK)
    first: dict[str, tuple[dict[Key, int], tuple[object, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder)) as (inventory, _):
            for batch in history:
                for operation, outcome in zip(batch, await apply(inventory, batch), strict=True):
                    deltas = effect(operation)
                    if operation.id in first:
                        known, answer = first[operation.id]
                        mismatch = outcome.refusal is not None and outcome.refusal.code == "operation-mismatch"
                        assert mismatch if known != deltas else summary(outcome) == answer
                        continue
                    first[operation.id] = deltas, summary(outcome)
                    fits = all(key in model and model[key] + delta >= 0 for key, delta in deltas.items())
                    assert (outcome.refusal is None) == fits
                    if fits:
                        model |= {key: model[key] + delta for key, delta in deltas.items()}
                assert await stock(inventory) == model
