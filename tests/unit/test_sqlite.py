"""The database seam on SQLite: its files, its failures, its locks."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio

from ordermgmt.errors import Conflict, OutcomeUnknown, Unavailable
from ordermgmt.storage import Transaction
from ordermgmt.storage.patience import PATIENCE
from tests.unit.storage_setup import add, notes, opened_file, sabotage


async def test_a_commit_is_on_disk_before_it_returns(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        settings = {
            name: database._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        }
        assert settings == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 0}


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with opened_file(tmp_path):
        pass
    (tmp_path / "data" / "notes.db").chmod(0o644)
    async with opened_file(tmp_path) as database:
        await database.write(lambda transaction: add(transaction, "a"))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (tmp_path / "data").iterdir()}
    names = ("notes.db", "notes.db-wal", "notes.db-shm", "in-use.lock")
    assert modes == dict.fromkeys(names, "0o600")
    assert oct((tmp_path / "data").stat().st_mode & 0o777) == "0o700"


async def test_a_full_disk_leaves_no_half_transaction(tmp_path: Path) -> None:
    def careless(transaction: Transaction) -> None:
        add(transaction, "first half")
        with suppress(sqlite3.OperationalError):
            add(transaction, "x" * 1_000_000)
        assert not database._writer.in_transaction, "the trap is gone: SQLite used to roll back here"
        add(transaction, "second half")

    async with opened_file(tmp_path) as database:
        database._writer.execute("PRAGMA max_page_count = 10")
        with pytest.raises(Unavailable) as caught:
            await database.write(careless)
        assert caught.value.code == "storage-unavailable"
        assert await database.read(notes) == []
        database._writer.execute("PRAGMA max_page_count = 1000")
        await database.write(lambda transaction: add(transaction, "later"))
        assert await database.read(notes) == ["later"]


async def test_a_failure_of_the_disk_during_commit_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        sabotage(database, "COMMIT")
        with pytest.raises(OutcomeUnknown):
            await database.write(lambda transaction: add(transaction, "a"))
        assert await database.read(notes) == []


async def test_a_failed_rollback_is_made_up_for_before_the_next_transaction(tmp_path: Path) -> None:
    def fail(transaction: Transaction) -> None:
        add(transaction, "lost")
        raise Conflict("no")

    async with opened_file(tmp_path) as database:
        sabotage(database, "ROLLBACK")
        with pytest.raises(Conflict):
            await database.write(fail)
        await database.write(lambda transaction: add(transaction, "kept"))
        assert await database.read(notes) == ["kept"]


async def test_a_write_waits_for_another_process(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with opened_file(tmp_path) as database, trio.open_nursery() as nursery:
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
    async with opened_file(tmp_path) as database:
        with closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await database.write(lambda transaction: add(transaction, "ours"))
            assert PATIENCE <= trio.current_time() <= PATIENCE + 0.1
            assert await database.read(notes) == []


async def test_a_read_sees_one_snapshot_and_can_change_nothing(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
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
