"""The verbs of stock on a real database file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.errors import NotFound, Unavailable, UnprocessableContent
from ordermgmt.inventory.contract import Goods
from ordermgmt.inventory.domain import Key
from tests.unit.inventory_setup import BOOK, FIRST_STOCK, HEADPHONES, LAPTOP, apply, opened, stock, summary, take


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


async def test_a_read_only_disk_takes_nothing_and_recovers(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, database):
        before = inventory.commits
        database._writer.execute("PRAGMA query_only = ON")
        for change in (apply(inventory, [take("a", (BOOK, -1))]), inventory.stock_up(BOOK, Goods("b", add=1))):
            with pytest.raises(Unavailable, match="storage-unavailable"):
                await change
        assert await stock(inventory) == FIRST_STOCK
        assert await inventory.unready() is None
        assert (inventory.batches, inventory.operations, inventory.commits) == (0, 0, before)
        database._writer.execute("PRAGMA query_only = OFF")
        (outcome,) = await apply(inventory, [take("a", (BOOK, -1))])
        assert outcome.refusal is None
        assert (await inventory.item(BOOK)).qty == 9


async def test_the_balance_tells_goods_from_movements(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):
        await inventory.stock_up(BOOK, Goods("a", add=5))
        await inventory.stock_up(BOOK, Goods("b", price="1.00"))
        await inventory.stock_up(BOOK, Goods("c", add=10**12))
        await inventory.stock_up(Key("toys", "bear"), Goods("a1", name="Bear", price="9.90"))
        await apply(inventory, [take("d", (BOOK, -4), (LAPTOP, 1)), take("e", (BOOK, -12))])
        await inventory.move(take("f", (BOOK, 1)))
        first = await inventory.balance(limit=2)
        assert [msgspec.structs.astuple(item) for item in first.items] == [
            ("books", "978-1484220498", 10, 0, 10),
            ("books", "978-1617295959", 15, -3, 12),
        ]
        assert first.next == "books/978-1617295959"
        rest = await inventory.balance(after=BOOK)
        assert [msgspec.structs.astuple(item) for item in rest.items] == [
            ("electronics", "APMBA132021", 32, 1, 33),
            ("electronics", "SOWH1000XM4", 75, 0, 75),
            ("toys", "bear", 0, 0, 0),
        ]
        assert rest.next is msgspec.UNSET


async def test_batches_operations_and_commits_are_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, _):

        async def buy(number: int) -> None:
            await apply(inventory, [take(f"{number}", (HEADPHONES, -1)), take(f"other-{number}", (HEADPHONES, -1))])

        before = inventory.commits
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(buy, number)
        assert (inventory.batches, inventory.operations) == (20, 40)
        assert 1 <= inventory.commits - before < 20
        before = inventory.commits
        await inventory.move(take("0", (HEADPHONES, -1)))
        await inventory.stock_up(BOOK, Goods("goods", add=1))
        assert (inventory.batches, inventory.operations, inventory.commits) == (20, 42, before + 2)
        assert (await inventory.item(HEADPHONES)).qty == 35


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
