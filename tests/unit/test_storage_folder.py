"""A folder of databases is used by many, or exchanged by one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ordermgmt.clock import SystemClock
from ordermgmt.errors import StartError
from ordermgmt.storage import open_snapshot, own_folder, use_folder
from tests.unit.storage_setup import add, adding, notes, opened_file


async def test_an_open_database_keeps_its_folder_from_being_exchanged(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened_file(tmp_path), opened_file(tmp_path):
        with pytest.raises(StartError, match=r"data is in use: stop the suite"), own_folder(folder):
            pass
    with own_folder(folder):
        with pytest.raises(StartError, match=r"notes\.db: a restore is under way in "):
            async with opened_file(tmp_path):
                pass
        with pytest.raises(StartError, match="in use"), own_folder(folder):
            pass
    with use_folder(folder):
        assert (folder / "in-use.lock").stat().st_mode & 0o777 == 0o600


async def test_a_folder_whose_exchange_did_not_finish_is_of_no_use(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with own_folder(folder) as owned:
        owned.mark("before-restore-1")
    with pytest.raises(StartError, match=r"again with --force; what was there is in before-restore-1"):
        async with opened_file(tmp_path):
            pass
    with own_folder(folder) as owned:
        owned.mark("")
    async with opened_file(tmp_path) as database:
        assert await database.read(notes) == []


async def test_a_copy_is_of_the_pinned_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with opened_file(tmp_path) as database:
        for text in ("x" * 1_000_000, "xy" * 500_000, "xyz" * 333_333):
            await database.write(adding(text))
        with open_snapshot(tmp_path / "data" / "notes.db", SystemClock()) as snapshot:
            snapshot.pin()
            await database.write(lambda tx: add(tx, "after"))
            steps: list[tuple[int, int]] = []

            def progress(done: int, total: int) -> None:
                steps.append((done, total))
                database._writer.execute("DELETE FROM note WHERE text LIKE 'x%' AND rowid = ?", (len(steps),))
                database._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

            snapshot.copy(copy, progress)
            assert list(snapshot.schema()) == [1]
        assert await database.read(notes) == ["after"]
    assert len(steps) >= 3
    assert steps[-1] == (copy.stat().st_size, copy.stat().st_size)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as found:
        assert found.execute("SELECT LENGTH(text) FROM note").fetchall() == [(1_000_000,), (1_000_000,), (999_999,)]


async def test_a_snapshot_writes_nothing_and_says_what_cannot_be_read(tmp_path: Path) -> None:
    async with opened_file(tmp_path):
        with open_snapshot(tmp_path / "data" / "notes.db", SystemClock()) as snapshot:
            snapshot.pin()
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                snapshot.read(lambda tx: add(tx, "a"))
    with (
        pytest.raises(StartError, match=r"cannot read .*missing\.db"),
        open_snapshot(tmp_path / "missing.db", SystemClock()),
    ):
        pass
    (tmp_path / "noise.db").write_bytes(b"no database at all" * 100)
    with (
        pytest.raises(StartError, match=r"cannot read .*noise\.db: file is not a database"),
        open_snapshot(tmp_path / "noise.db", SystemClock()),
    ):
        pass
    assert not (tmp_path / "missing.db").exists()
