"""The database seam on SQLite: durable, whole or not at all, and patient."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio

from ordermgmt.errors import Conflict, OutcomeUnknown, Unavailable
from ordermgmt.storage import Transaction
from ordermgmt.storage.patience import PATIENCE
from ordermgmt.threads import WorkerThreads
from tests.unit.storage_setup import add, notes, opened, sabotage


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    async with opened(tmp_path, WorkerThreads()) as database:
        assert await database.write(lambda transaction: add(transaction, "a")) == "a"
        assert await database.read(notes) == ["a"]
    async with opened(tmp_path) as database:
        assert await database.read(notes) == ["a"]


async def test_a_commit_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        settings = {
            name: database._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        }
        assert settings == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 0}


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    (tmp_path / "data" / "notes.db").chmod(0o644)
    async with opened(tmp_path) as database:
        await database.write(lambda transaction: add(transaction, "a"))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (tmp_path / "data").iterdir()}
    assert modes == {"notes.db": "0o600", "notes.db-wal": "0o600", "notes.db-shm": "0o600"}
    assert oct((tmp_path / "data").stat().st_mode & 0o777) == "0o700"


async def test_an_error_rolls_back_and_is_raised_as_it_is(tmp_path: Path) -> None:
    def fail(transaction: Transaction) -> None:
        add(transaction, "lost")
        raise Conflict("no")

    async with opened(tmp_path) as database:
        with pytest.raises(Conflict):
            await database.write(fail)
        await database.write(lambda transaction: add(transaction, "kept"))
        assert await database.read(notes) == ["kept"]


async def test_a_failed_statement_dooms_the_transaction_even_if_caught(tmp_path: Path) -> None:
    def careless(transaction: Transaction) -> None:
        add(transaction, "a")
        with suppress(sqlite3.IntegrityError):
            add(transaction, "a")

    async with opened(tmp_path) as database:
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(careless)
        assert await database.read(notes) == []


async def test_a_full_disk_leaves_no_half_transaction(tmp_path: Path) -> None:
    def careless(transaction: Transaction) -> None:
        add(transaction, "first half")
        with suppress(sqlite3.OperationalError):
            add(transaction, "x" * 1_000_000)
        assert not database._writer.in_transaction, "the trap is gone: SQLite used to roll back here"
        add(transaction, "second half")

    async with opened(tmp_path) as database:
        database._writer.execute("PRAGMA max_page_count = 10")
        with pytest.raises(Unavailable) as caught:
            await database.write(careless)
        assert caught.value.code == "storage-unavailable"
        assert await database.read(notes) == []
        database._writer.execute("PRAGMA max_page_count = 1000")
        await database.write(lambda transaction: add(transaction, "later"))
        assert await database.read(notes) == ["later"]


async def test_a_failure_of_the_disk_during_commit_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        sabotage(database, "COMMIT")
        with pytest.raises(OutcomeUnknown):
            await database.write(lambda transaction: add(transaction, "a"))
        assert await database.read(notes) == []


async def test_a_failed_rollback_is_made_up_for_before_the_next_transaction(tmp_path: Path) -> None:
    def fail(transaction: Transaction) -> None:
        add(transaction, "lost")
        raise Conflict("no")

    async with opened(tmp_path) as database:
        sabotage(database, "ROLLBACK")
        with pytest.raises(Conflict):
            await database.write(fail)
        await database.write(lambda transaction: add(transaction, "kept"))
        assert await database.read(notes) == ["kept"]


async def test_a_transaction_cannot_end_itself_or_outlive_its_function(tmp_path: Path) -> None:
    def ends_itself(transaction: Transaction) -> None:
        add(transaction, "a")
        transaction.execute("ROLLBACK")

    async with opened(tmp_path) as database:
        with pytest.raises(ValueError, match="ends with its function"):
            await database.write(ends_itself)
        leaked = await database.write(lambda transaction: transaction)
        with pytest.raises(RuntimeError, match="over"):
            await database.write(lambda _: add(leaked, "a"))
        assert await database.read(notes) == []


async def test_a_write_waits_for_another_process(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with opened(tmp_path) as database, trio.open_nursery() as nursery:
        with closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO note VALUES ('theirs')")

            @nursery.start_soon
            async def let_go() -> None:
                await trio.sleep(PATIENCE / 2)
                other.execute("COMMIT")

            await database.write(lambda transaction: add(transaction, "ours"))
        assert await database.read(notes) == ["ours", "theirs"]


async def test_a_write_does_not_wait_for_ever(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with opened(tmp_path) as database:
        with closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await database.write(lambda transaction: add(transaction, "ours"))
            assert PATIENCE <= trio.current_time() <= PATIENCE + 0.1
            assert await database.read(notes) == []


async def test_a_read_sees_one_snapshot_and_can_change_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        with closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:

            def twice(transaction: Transaction) -> tuple[list[str], list[str]]:
                before = notes(transaction)
                other.execute("INSERT INTO note VALUES ('new')")
                return before, notes(transaction)

            assert await database.read(twice) == ([], [])
            assert await database.read(notes) == ["new"]
        with pytest.raises(Unavailable):
            await database.read(lambda transaction: add(transaction, "a"))
        assert await database.read(notes) == ["new"]


async def test_a_write_that_has_begun_is_finished_when_cancelled(tmp_path: Path) -> None:
    release = threading.Event()
    results = []

    async with opened(tmp_path, WorkerThreads()) as database, trio.open_nursery() as nursery:
        begun = trio.Event()

        def slow(transaction: Transaction) -> str:
            trio.from_thread.run_sync(begun.set)
            release.wait(10)
            return add(transaction, "a")

        @nursery.start_soon
        async def writer() -> None:
            results.append(await database.write(slow))

        await begun.wait()
        nursery.cancel_scope.cancel()
        release.set()
    assert results == ["a"]
    async with opened(tmp_path) as database:
        assert await database.read(notes) == ["a"]


async def test_a_write_that_waits_for_its_turn_does_nothing_when_cancelled(tmp_path: Path) -> None:
    release = threading.Event()

    async with opened(tmp_path, WorkerThreads()) as database:
        async with trio.open_nursery() as nursery:
            begun = trio.Event()

            def slow(transaction: Transaction) -> str:
                trio.from_thread.run_sync(begun.set)
                release.wait(10)
                return add(transaction, "first")

            nursery.start_soon(database.write, slow)
            await begun.wait()
            with trio.CancelScope() as scope:
                scope.cancel()
                await database.write(lambda transaction: add(transaction, "second"))
            assert scope.cancelled_caught
            release.set()
        assert await database.read(notes) == ["first"]


async def test_writers_take_turns(tmp_path: Path) -> None:
    def count_up(transaction: Transaction) -> None:
        add(transaction, f"{len(notes(transaction)):03}")

    async with opened(tmp_path, WorkerThreads()) as database:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(database.write, count_up)
        assert await database.read(notes) == [f"{number:03}" for number in range(50)]
