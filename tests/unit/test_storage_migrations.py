"""Which databases a start accepts, and what it makes of an old one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.errors import StartError
from ordermgmt.storage import open_database
from ordermgmt.storage.migrations import load_migrations
from ordermgmt.threads import InlineThreads

FIRST = "-- a comment; with a semicolon\nCREATE TABLE note (text TEXT);\nINSERT INTO note VALUES ('a;\nb');\n"
SECOND = "ALTER TABLE note ADD COLUMN author TEXT;\nUPDATE note SET author = 'nobody';\n-- done\n"


async def start(path: Path, *scripts: str) -> list[tuple[object, ...]]:
    folder = path.parent / "migrations"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, script in enumerate(scripts, 1):
        (folder / f"{number:04}_step.sql").write_text(script)
    async with open_database(path, folder, threads=InlineThreads(), clock=SystemClock()) as database:
        return await database.read(lambda transaction: transaction.execute("SELECT * FROM note").rows)


MANY = """
CREATE TABLE note AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT hex(zeroblob(200)) FROM n;
"""


async def test_each_migration_is_applied_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert await start(path, FIRST) == [("a;\nb",)]
    assert await start(path, FIRST) == [("a;\nb",)]
    assert await start(path, FIRST, SECOND) == [("a;\nb", "nobody")]


async def test_a_failing_migration_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await start(path, FIRST)
    with pytest.raises(StartError, match="no such table"):
        await start(path, FIRST, SECOND, "ALTER TABLE missing ADD COLUMN x TEXT;")
    assert await start(path, FIRST) == [("a;\nb",)]


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await start(path, FIRST, SECOND)
    with pytest.raises(StartError, match=f"{path}: written by a newer version: it has schema 2, this version knows 1"):
        await start(path, FIRST)


async def test_an_edited_migration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await start(path, FIRST)
    with pytest.raises(StartError, match=f"{path}: made by another 0001_step.sql"):
        await start(path, FIRST + "\n")


async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database, but something else" * 100)
    with pytest.raises(StartError, match=f"{path}: file is not a database"):
        await start(path, FIRST)
    assert path.read_bytes().startswith(b"not a database")
    with pytest.raises(StartError, match=f"{tmp_path}: Is a directory"):
        await start(tmp_path, FIRST)


async def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await start(path, MANY)
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 4096)
    with pytest.raises(StartError, match=f"{path}: it is damaged"):
        await start(path, MANY)


async def test_a_locked_database_is_refused(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = tmp_path / "x.db"
    await start(path, FIRST)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StartError, match=f"{path}: database is locked"):
            await start(path, FIRST)


@pytest.mark.parametrize("names", [(), ("0002_b.sql",), ("0001_a.sql", "0003_c.sql"), ("0001_a.sql", "0001_b.sql")])
def test_numbers_without_gaps(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(StartError, match="not numbered"):
        load_migrations(tmp_path)
