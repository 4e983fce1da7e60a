"""The database seam, on each engine: durable, and whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg
import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import Conflict, Unavailable
from ordermgmt.storage import Location, Transaction
from ordermgmt.threads import WorkerThreads
from tests.unit.storage_setup import add, adding, notes, opened

T = TypeVar("T")

DUPLICATE = (sqlite3.IntegrityError, psycopg.errors.UniqueViolation)


async def test_what_was_written_is_there_after_reopening(location: Location) -> None:
    async with opened(location, WorkerThreads()) as database:
        assert await database.write(lambda transaction: add(transaction, "a")) == "a"
        assert await database.read(notes) == ["a"]
    async with opened(location) as database:
        assert await database.read(notes) == ["a"]


async def test_an_error_rolls_back_and_is_raised_as_it_is(location: Location) -> None:
    def fail(transaction: Transaction) -> None:
        add(transaction, "lost")
        raise Conflict("no")

    async with opened(location) as database:
        with pytest.raises(Conflict):
            await database.write(fail)
        await database.write(lambda transaction: add(transaction, "kept"))
        assert await database.read(notes) == ["kept"]


async def test_a_failed_statement_dooms_the_transaction_even_if_caught(location: Location) -> None:
    def careless(transaction: Transaction) -> None:
        add(transaction, "a")
        with suppress(*DUPLICATE):
            add(transaction, "a")

    async with opened(location) as database:
        with pytest.raises(DUPLICATE):
            await database.write(careless)
        assert await database.read(notes) == []


async def test_a_transaction_cannot_end_itself_or_outlive_its_function(location: Location) -> None:
    def ends_itself(transaction: Transaction) -> None:
        add(transaction, "a")
        transaction.execute("ROLLBACK")

    async with opened(location) as database:
        with pytest.raises(ValueError, match="ends with its function"):
            await database.write(ends_itself)
        leaked = await database.write(lambda transaction: transaction)
        with pytest.raises(RuntimeError, match="over"):
            await database.write(lambda _: add(leaked, "a"))
        assert await database.read(notes) == []


class PausedThreads(WorkerThreads):
    """From `pause` on, work that has begun waits in its thread for `release`."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.release = threading.Event()
        self.release.set()

    def pause(self) -> None:
        self.release.clear()

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
        token = trio.lowlevel.current_trio_token()

        def slow() -> T:
            if not self.release.is_set():
                trio.from_thread.run_sync(self.begun.set, trio_token=token)
                self.release.wait(10)
            return fn()

        return await super().run(slow, limiter=limiter)


async def test_a_write_that_has_begun_is_finished_when_cancelled(location: Location) -> None:
    threads = PausedThreads()
    results = []

    async with opened(location, threads) as database, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def writer() -> None:
            threads.pause()
            results.append(await database.write(adding("a")))

        await threads.begun.wait()
        nursery.cancel_scope.cancel()
        threads.release.set()
    assert results == ["a"]
    async with opened(location) as database:
        assert await database.read(notes) == ["a"]


async def test_a_write_that_waits_for_its_turn_does_nothing_when_cancelled(location: Location) -> None:
    threads = PausedThreads()

    async with opened(location, threads) as database:
        async with trio.open_nursery() as nursery:
            threads.pause()
            nursery.start_soon(database.write, adding("first"))
            await threads.begun.wait()
            with trio.CancelScope() as scope:
                scope.cancel()
                await database.write(adding("second"))
            assert scope.cancelled_caught
            threads.release.set()
        assert await database.read(notes) == ["first"]


async def test_writers_take_turns(location: Location) -> None:
    def count_up(transaction: Transaction) -> None:
        add(transaction, f"{len(notes(transaction)):03}")

    async with opened(location, WorkerThreads()) as database:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(database.write, count_up)
        assert await database.read(notes) == [f"{number:03}" for number in range(50)]


async def test_a_read_can_change_nothing(location: Location) -> None:
    async with opened(location) as database:
        with pytest.raises(Unavailable):
            await database.read(adding("a"))
        assert await database.read(notes) == []


async def test_placeholders_are_outside_of_quotes_and_comments(location: Location) -> None:
    sql = """
        SELECT 'a?%s''?', "text", ? AS "x?%" -- what? %
        FROM note /* ? %s */ WHERE text LIKE ? AND 7 % 4 = 3
    """
    async with opened(location) as database:
        await database.write(adding("50%"))
        result = await database.read(lambda transaction: transaction.execute(sql, (1.5, "5%")))
    assert result.rows == [("a?%s'?", "50%", 1.5)]


async def test_values_come_back_as_they_went(location: Location) -> None:
    def keep(transaction: Transaction) -> list[tuple[object, ...]]:
        transaction.execute("CREATE TABLE kept (a BIGINT, b DOUBLE PRECISION, c TEXT, d INTEGER)")
        transaction.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", (10**12, 0.1, "ä\u20ac'\"", True))
        transaction.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", (-1, None, None, False))
        rows = transaction.execute("SELECT * FROM kept ORDER BY a").rows
        return rows + transaction.execute("SELECT sum(a), count(*) FROM kept WHERE a > ?", (0,)).rows

    async with opened(location) as database:
        rows = await database.write(keep)
    assert rows == [(-1, None, None, 0), (10**12, 0.1, "ä\u20ac'\"", 1), (10**12, 1)]
    assert not any(isinstance(value, bool) for row in rows for value in row)
    assert isinstance(rows[2][0], int)


async def test_counts_are_of_changed_rows(location: Location) -> None:
    def counts(transaction: Transaction) -> list[int]:
        statements = (
            "INSERT INTO note (text) VALUES ('a'), ('b')",
            "INSERT INTO note (text) VALUES ('a') ON CONFLICT DO NOTHING",
            "SELECT text FROM note",
            "UPDATE note SET text = 'c' WHERE text = 'a'",
            "DELETE FROM note WHERE text = 'zzz'",
            "DELETE FROM note",
        )
        return [transaction.execute(statement).rowcount for statement in statements]

    async with opened(location) as database:
        assert await database.write(counts) == [2, 0, -1, 1, 0, 2]
        returning = "INSERT INTO note (text) VALUES ('a') RETURNING text"
        assert (await database.write(lambda transaction: transaction.execute(returning))).rows == [("a",)]


async def test_the_pieces_of_the_dialect_fit_at_the_end_of_a_select(location: Location) -> None:
    def select(transaction: Transaction) -> list[list[tuple[object, ...]]]:
        dialect = transaction.dialect
        sql = "SELECT text FROM note WHERE text = ? ORDER BY text LIMIT 1"
        return [transaction.execute(sql + piece, ("a",)).rows for piece in (dialect.lock, dialect.skip_locked)]

    async with opened(location) as database:
        await database.write(adding("a"))
        assert await database.write(select) == [[("a",)], [("a",)]]


async def test_the_time_is_this_second(location: Location) -> None:
    async with opened(location) as database:
        first = await database.read(lambda transaction: transaction.now())
        second = await database.write(lambda transaction: transaction.now())
    assert first <= second < first + 60
    assert abs(first - SystemClock().now()) < 60
