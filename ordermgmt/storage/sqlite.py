"""SQLite, the default database: one file, one connection that writes and one that reads."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import OutcomeUnknown, StartError, Unavailable
from ordermgmt.storage.database import OpenDatabase, Transaction
from ordermgmt.storage.folder import use_folder
from ordermgmt.storage.group_commit import GroupCommit
from ordermgmt.storage.migrations import Migration, migrate
from ordermgmt.storage.patience import patiently
from ordermgmt.storage.sqlite_transaction import SqliteConnection, judge, read
from ordermgmt.storage.turns import Turns, open_turns
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["SqliteDatabase", "open_sqlite"]

T = TypeVar("T")

# fullfsync is for macOS, where fsync alone leaves the data in the drive's cache.
_WRITER = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "foreign_keys = ON")
_RESTORE = "; `ordermgmt restore` puts a backup in its place"


class SqliteDatabase:
    """An open file. `open_sqlite` makes one; it owns both connections."""

    def __init__(
        self,
        path: Path,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        threads: Threads,
        clock: Clock,
        turns: Turns | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._writes = GroupCommit(
            lambda: SqliteConnection(self._writer, clock), judge, threads, database=str(path), quick=True, turns=turns
        )

    @property
    def commits(self) -> int:
        """How many COMMITs there were."""
        return self._writes.commits

    @property
    def transactions(self) -> int:
        """How many calls of `write` got their result."""
        return self._writes.transactions

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run in the event loop: for a few rows much cheaper than a thread. See `Database.read`."""

        async def attempt() -> T:
            await trio.lowlevel.checkpoint_if_cancelled()  # a turn of the scheduler costs more than the read
            return read(self._reader, self._clock, fn)

        try:
            return await patiently(attempt, judge)
        except Unavailable as error:
            if isinstance(error.__cause__, sqlite3.Error):  # or else `fn` raised it
                get_logger("storage").error("read-failed", database=str(self._path), cause=str(error.__cause__))
            raise

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run in the event loop, and COMMIT in a thread, once for all that wait. See `Database.write`."""
        return await self._writes.write(fn)

    def close(self) -> None:
        """Close both connections; the last one of a file moves its write-ahead log into it."""
        self._reader.close()
        self._writer.close()


@contextlib.asynccontextmanager
async def open_sqlite(
    path: Path, known: Sequence[Migration], *, threads: Threads, clock: Clock, shared: bool = False
) -> AsyncIterator[OpenDatabase]:
    """Open the file, made with mode 0600 if there is none, bring its schema up to date; close it in the end.

    Its folder is in use until then. With `shared` it is written in turns with other processes that say so. Raises
    StartError, with one line that names the file, if it cannot be used: unreadable, locked, of a newer version, being
    restored, or damaged (every page is looked at, which takes about a second for a gigabyte).
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(use_folder(path.parent))
            writer, reader = await patiently(lambda: threads.run(partial(_connect, path)), judge)
            turns = stack.enter_context(open_turns(path)) if shared else None
            database = SqliteDatabase(path, writer, reader, threads, clock, turns)
            stack.callback(database.close)
            await database.write(partial(migrate, known=known))
        except (OSError, sqlite3.Error, StartError, Unavailable, OutcomeUnknown) as error:
            raise _start_error(path, error) from error
        yield database


def _connect(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open a writer and a reader."""
    _make_private(path)
    with contextlib.ExitStack() as opened:
        writer, reader = (
            opened.enter_context(
                contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False))
            )
            for _ in range(2)
        )
        writer.execute("PRAGMA journal_mode = WAL")
        for pragma in _WRITER:
            writer.execute(f"PRAGMA {pragma}")
        reader.execute("PRAGMA query_only = ON")
        ((verdict,),) = writer.execute("PRAGMA quick_check(1)")
        if verdict != "ok":
            msg = f"it is damaged: {' '.join(verdict.split())}{_RESTORE}"
            raise sqlite3.DatabaseError(msg)
        opened.pop_all()
    return writer, reader


def _make_private(path: Path) -> None:
    """Make the file, if it is not there, and keep the files to their owner.

    SQLite gives the files that it puts beside the database the mode of the database.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with contextlib.suppress(FileNotFoundError):
            file.chmod(0o600)


def _start_error(path: Path, error: Exception) -> StartError:
    cause = error.__cause__ if isinstance(error, Unavailable | OutcomeUnknown) else error
    damaged = getattr(cause, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    reason = getattr(cause, "strerror", None) or cause
    return StartError(f"cannot use the database {path}: {reason}{_RESTORE if damaged else ''}")
