"""SQLite and its disk: what is acknowledged is synced, and a disk that fails fails the request alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ordermgmt.errors import StartError, Unavailable
from ordermgmt.storage.sqlite import SqliteDatabase
from tests.unit.storage_setup import adding, notes, opened_file, sabotage


async def test_a_full_disk_passes(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        database._writer.execute("PRAGMA max_page_count = 4")
        with pytest.raises(Unavailable):
            for number in range(100):
                await database.write(adding(f"{number:03}" * 300))
        kept = await database.read(notes)
        assert kept
        database._writer.execute("PRAGMA max_page_count = 1000")
        assert await database.write(adding("after")) == "after"
        assert await database.read(notes) == [*kept, "after"]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE])
async def test_a_write_that_cannot_be_is_refused_and_the_next_one_is_not(tmp_path: Path, code: int) -> None:
    async with opened_file(tmp_path) as database:
        sabotage(database, "BEGIN IMMEDIATE", code=code)
        with pytest.raises(Unavailable):
            await database.write(adding("a"))
        assert await database.write(adding("b")) == "b"
        assert await database.read(notes) == ["b"]


async def test_a_file_that_becomes_read_only_is_read_on(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        await database.write(adding("a"))
        database._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(Unavailable):
            await database.write(adding("b"))
        assert await database.read(notes) == ["a"]
        database._writer.execute("PRAGMA query_only = OFF")
        assert await database.write(adding("b")) == "b"


async def test_damage_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        path = database._path
        for number in range(50):
            await database.write(adding(f"{number:03}" * 200))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StartError, match=rf"{path}: .*; `ordermgmt restore` puts a backup in its place$"):
        async with opened_file(tmp_path):
            pass


def synchronous(database: SqliteDatabase) -> int:
    ((level,),) = database._writer.execute("PRAGMA synchronous").fetchall()
    return int(level)


async def test_the_writer_syncs_every_commit(tmp_path: Path) -> None:
    async with opened_file(tmp_path) as database:
        assert synchronous(database) == 2
