"""What a batch may be, and what becomes of operations that are abandoned, acknowledged and forgotten."""

from __future__ import annotations

import hashlib
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.errors import Conflict, UnprocessableContent
from ordermgmt.inventory.contract import (
    MAX_ACKNOWLEDGED,
    MAX_AGE,
    MAX_BATCH_LINES,
    MAX_LINES,
    MAX_OPERATIONS,
    Batch,
    Goods,
)
from ordermgmt.inventory.domain import FORGET_AFTER, FORGET_AT_ONCE, Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.storage import open_database
from ordermgmt.threads import InlineThreads
from tests.unit.inventory_setup import (
    BOOK,
    FIRST_STOCK,
    HEADPHONES,
    LAPTOP,
    START,
    HandClock,
    apply,
    code,
    decided_ids,
    opened,
    stock,
    summary,
    take,
)


@pytest.mark.parametrize("age", [MAX_AGE + 0.5, -MAX_AGE - 0.5, START, -(10**9)])
async def test_a_stale_batch_is_refused_whole(tmp_path: Path, age: float) -> None:
    async with opened(tmp_path) as (inventory, database):
        await apply(inventory, [take("a", (BOOK, -1))])
        with pytest.raises(Conflict, match="stale-batch"):
            await inventory.apply(Batch(START - age, (take("a", (BOOK, -1)), take("b", (BOOK, -1))), ("a",)))
        assert (await inventory.item(BOOK)).qty == 9
        assert decided_ids(database) == ["a"]
        assert inventory.batches == 1
        for on_the_edge in (MAX_AGE, -MAX_AGE):
            (outcome,) = await inventory.apply(Batch(START - on_the_edge, (take("a", (BOOK, -1)),)))
            assert outcome.refusal is None


async def test_a_batch_has_a_limit_of_lines(tmp_path: Path) -> None:
    most = [take(f"{number}", *[(HEADPHONES, -1)] * 16) for number in range(MAX_OPERATIONS)]
    assert sum(len(operation.lines) for operation in most) == MAX_BATCH_LINES
    async with opened(tmp_path) as (inventory, _):
        with pytest.raises(UnprocessableContent, match=f"at most {MAX_BATCH_LINES} lines together; these have 4097"):
            await apply(inventory, [*most[:-1], take("last", *[(HEADPHONES, -1)] * 17)])
        assert await stock(inventory) == FIRST_STOCK
        codes = [code(outcome) for outcome in await apply(inventory, most)]
        assert codes == [None] * 4 + ["out-of-stock"] * 252


async def test_the_largest_batch_of_different_items(tmp_path: Path) -> None:
    keys = [Key("c" * 64, f"{number:064}") for number in range(MAX_BATCH_LINES)]
    lines_each = MAX_BATCH_LINES // MAX_OPERATIONS
    batch = [
        take(f"{number:064}", *[(key, -1_000_000) for key in keys[number * lines_each : (number + 1) * lines_each]])
        for number in range(MAX_OPERATIONS)
    ]
    async with opened(tmp_path) as (inventory, database):
        database._writer.execute("BEGIN")
        database._writer.executemany("INSERT INTO item VALUES (?, ?, 'x', 1, 1000000, 0)", keys)
        database._writer.execute("COMMIT")
        assert {code(outcome) for outcome in await apply(inventory, batch)} == {None}
        assert database._reader.execute("SELECT SUM(qty) FROM item WHERE name = 'x'").fetchone() == (0,)
        assert {code(outcome) for outcome in await apply(inventory, batch)} == {None}


async def test_the_items_of_a_batch_are_found_without_reading_the_table(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, database):
        asked: list[str] = []
        database._writer.set_trace_callback(asked.append)
        await apply(inventory, [take("a", *[(Key("books", f"{number}"), -1) for number in range(50)], (BOOK, -1))])
        await apply(inventory, [take("b", (BOOK, -1), (LAPTOP, -1), (HEADPHONES, -1))], "a")
        # Neither what is known nor what is abandoned has to wait for anybody's stock.
        before = len(asked)
        await apply(inventory, [take("a", *[(BOOK, -1)] * 2), take("c", (BOOK, -1), abandon=True)])
        assert [sql for sql in asked[before:] if "FROM item" in sql] == []
        database._writer.set_trace_callback(None)
        plans = [
            step[3]
            for sql in asked
            if sql.startswith(("SELECT", "UPDATE", "DELETE"))
            for step in database._writer.execute(f"EXPLAIN QUERY PLAN {sql}")
        ]
    assert len([plan for plan in plans if plan.startswith("SEARCH item USING INDEX")]) >= 3
    assert [plan for plan in plans if plan.startswith(("SCAN item", "SCAN operation"))] == []


async def test_what_is_abandoned_before_it_arrives_is_refused_for_good(tmp_path: Path) -> None:
    operation, abandoned = take("a", (BOOK, -1)), take("a", (BOOK, -1), abandon=True)
    async with opened(tmp_path) as (inventory, _):
        (first,) = await apply(inventory, [abandoned])
        assert code(first) == "operation-abandoned"
        assert isinstance(first.refusal, Conflict)
    async with opened(tmp_path) as (inventory, _):
        for again in (operation, abandoned):
            (outcome,) = await apply(inventory, [again])
            assert summary(outcome) == summary(first)
        (other,) = await apply(inventory, [take("a", (BOOK, -2))])
        assert code(other) == "operation-mismatch"
        assert await stock(inventory) == FIRST_STOCK


@pytest.mark.parametrize(("qty", "expected"), [(-1, None), (-11, "out-of-stock")])
async def test_what_arrived_before_it_was_abandoned_stands(tmp_path: Path, qty: int, expected: str | None) -> None:
    async with opened(tmp_path) as (inventory, _):
        (first,) = await apply(inventory, [take("a", (BOOK, qty))])
        left = await stock(inventory)
        (outcome,) = await apply(inventory, [take("a", (BOOK, qty), abandon=True)])
        assert code(outcome) == expected
        assert summary(outcome) == summary(first)
        (other,) = await apply(inventory, [take("a", (BOOK, -3), abandon=True)])
        assert code(other) == "operation-mismatch"
        assert await stock(inventory) == left


async def test_only_what_is_acknowledged_is_forgotten_and_only_when_no_copy_can_arrive(tmp_path: Path) -> None:
    clock = HandClock()

    async def pass_time(inventory: Inventory, seconds: float) -> None:
        clock.time += seconds
        await inventory.apply(Batch(clock.time))

    async with opened(tmp_path, clock) as (inventory, database):
        await apply(inventory, [take("a", (BOOK, -1)), take("b", (BOOK, -99)), take("c", (BOOK, -1), abandon=True)])
        await apply(inventory, [take("kept", (BOOK, -1))])
        await inventory.move(take("moved", (BOOK, -1)))
        await inventory.stock_up(BOOK, Goods("goods", add=1))
        await apply(inventory, [], "a", "b", "c", "moved", "goods", "unknown")
        await pass_time(inventory, FORGET_AFTER)
        assert decided_ids(database) == ["a", "b", "c", "goods", "kept", "moved"]
        # A second acknowledgement does not put it off.
        await inventory.apply(Batch(clock.time, (), ("a",)))
        await pass_time(inventory, 0.5)
        assert decided_ids(database) == ["goods", "kept", "moved"]
        await pass_time(inventory, 10**8)
        assert decided_ids(database) == ["goods", "kept", "moved"]
        assert (await inventory.item(BOOK)).qty == 8


async def test_the_last_copy_that_is_let_in_finds_the_first_answer(tmp_path: Path) -> None:
    clock = HandClock()
    # Sent in the moment of the acknowledgement, by a clock that is as far ahead as it may be.
    copy = Batch(START + MAX_AGE, (take("a", (BOOK, -1)),))
    async with opened(tmp_path, clock) as (inventory, _):
        await inventory.apply(copy)
        await apply(inventory, [], "a")
        clock.time = START + 2 * MAX_AGE
        for _ in range(2):
            (outcome,) = await inventory.apply(copy)
            assert code(outcome) is None
        assert (await inventory.item(BOOK)).qty == 9
        clock.time += 0.5
        with pytest.raises(Conflict, match="stale-batch"):
            await inventory.apply(copy)


async def test_a_batch_forgets_so_many_at_once_and_more_than_it_brings(tmp_path: Path) -> None:
    clock = HandClock()
    batches = [[f"{first + number:05}" for number in range(MAX_OPERATIONS)] for first in (0, 1000, 2000, 3000, 4000)]
    async with opened(tmp_path, clock) as (inventory, database):
        for ids in batches:
            await apply(inventory, [take(operation_id, (BOOK, -1)) for operation_id in ids])
            await apply(inventory, [], *ids)
        clock.time += FORGET_AFTER + 1
        left = [len(decided_ids(database))]
        for _ in range(3):
            await inventory.apply(Batch(clock.time))
            left.append(len(decided_ids(database)))
    assert left == [1280, 1280 - FORGET_AT_ONCE, 1280 - 2 * FORGET_AT_ONCE, 0]
    assert FORGET_AT_ONCE > MAX_OPERATIONS


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "sent_at"),
        ({"sent_at": "1"}, r"\$\.sent_at"),
        ({"sent_at": -1}, r"\$\.sent_at"),
        ({"sent_at": 0, "acknowledged": ["a b"]}, r"\$\.acknowledged\[0\]"),
        ({"sent_at": 0, "acknowledged": ["a"] * (MAX_ACKNOWLEDGED + 1)}, r"\$\.acknowledged"),
        ({"sent_at": 0, "operations": [{"id": "a", "lines": []}] * (MAX_OPERATIONS + 1)}, r"\$\.operations"),
        ({"sent_at": 0, "operations": [{"id": "a", "lines": []}]}, r"\$\.operations\[0\]\.lines"),
        (
            {"sent_at": 0, "operations": [{"id": "a", "lines": [{"category": "a", "code": "b", "qty": 1}] * 201}]},
            rf"length <= {MAX_LINES}.*\$\.operations\[0\]\.lines",
        ),
        ({"sent_at": 0, "abandon": True}, "abandon"),
    ],
)
def test_a_malformed_batch_is_refused(given: object, named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.json.decode(msgspec.json.encode(given), type=Batch)


async def test_a_cancelled_batch_is_decided_or_not_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path) as (inventory, database):
        before = inventory.commits
        with trio.CancelScope() as scope:
            scope.cancel()
            await apply(inventory, [take("a", (BOOK, -1))])
        assert scope.cancelled_caught
        assert (decided_ids(database), inventory.commits) == ([], before)


async def test_an_older_database_keeps_its_answers_and_counts_from_now_on(tmp_path: Path) -> None:
    before = tmp_path / "before"
    with as_file(files("ordermgmt.inventory") / "migrations") as folder:
        before.mkdir()
        for file in sorted(folder.iterdir())[:2]:
            shutil.copy(file, before)
    async with open_database(tmp_path / "inventory.db", before, threads=InlineThreads(), clock=HandClock()) as database:
        await database.write(lambda tx: tx.execute("UPDATE item SET qty = 7 WHERE code = ?", [BOOK.code]))
        digest = hashlib.sha256(b'["lines",["books","978-1617295959",-1]]').hexdigest()
        await database.write(
            lambda tx: tx.execute("INSERT INTO operation VALUES ('a', ?, 200, '', '', '{}', 1)", [digest])
        )
    clock = HandClock()
    async with opened(tmp_path, clock) as (inventory, opened_database):
        assert await stock(inventory) == {**FIRST_STOCK, BOOK: 7}
        (outcome,) = await apply(inventory, [take("a", (BOOK, -1))], "a")
        assert code(outcome) is None
        assert (await inventory.item(BOOK)).qty == 7
        clock.time += 10 * FORGET_AFTER
        await inventory.apply(Batch(clock.time))
        assert decided_ids(opened_database) == ["a"]
