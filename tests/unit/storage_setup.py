"""A database with one table, and ways to disturb it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

from ordermgmt.clock import SystemClock
from ordermgmt.storage import Location, OpenDatabase, Transaction, open_database
from ordermgmt.storage.sqlite import SqliteDatabase
from ordermgmt.threads import InlineThreads, Threads

T = TypeVar("T")


NOTES = Path(__file__).parent / "notes"
"""Migrations that make the table."""


@asynccontextmanager
async def opened(location: Location, threads: Threads | None = None) -> AsyncIterator[OpenDatabase]:
    async with open_database(location, NOTES, threads=threads or InlineThreads(), clock=SystemClock()) as database:
        yield database


@asynccontextmanager
async def opened_file(folder: Path, threads: Threads | None = None) -> AsyncIterator[SqliteDatabase]:
    async with opened(folder / "data" / "notes.db", threads) as database:
        assert isinstance(database, SqliteDatabase)
        yield database


def add(transaction: Transaction, text: str) -> str:
    assert transaction.execute("INSERT INTO note (text) VALUES (?)", (text,)).rowcount == 1
    return text


def adding(text: str) -> Callable[[Transaction], str]:
    return lambda transaction: add(transaction, text)


def notes(transaction: Transaction) -> list[str]:
    return [text for (text,) in transaction.execute("SELECT text FROM note ORDER BY text").rows]


class Sabotaged:
    """A connection on which each of some statements fails once, after it went well `after` times."""

    def __init__(self, connection: sqlite3.Connection, *statements: str, code: int, after: int) -> None:
        self._connection = connection
        self._left = dict.fromkeys(statements, after)
        self._code = code

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if sql in self._left:
            self._left[sql] -= 1
            if self._left[sql] == -1:
                error = sqlite3.OperationalError("sabotaged")
                error.sqlite_errorcode = self._code
                raise error
        return self._connection.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def sabotage(
    database: SqliteDatabase, *statements: str, code: int = sqlite3.SQLITE_IOERR_FSYNC, after: int = 0
) -> None:
    database._writer = Sabotaged(database._writer, *statements, code=code, after=after)  # type: ignore[assignment]


class HeldThreads:
    """Threads whose work begins and ends when a test lets it; a cancellation reaches it only before it began."""

    def __init__(self) -> None:
        self._to_begin, self._to_end = trio.Event(), trio.Event()
        self.release()

    def hold(self, *, begun: bool = True) -> None:
        """Let what comes now wait: for its end, or even for its beginning."""
        self._to_end = trio.Event()
        if not begun:
            self._to_begin = trio.Event()

    def release(self) -> None:
        self._to_begin.set()
        self._to_end.set()

    async def run(self, fn: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:  # noqa: ARG002 - the seam has it
        await self._to_begin.wait()
        with trio.CancelScope(shield=True):
            await self._to_end.wait()
        return fn()
