"""SQLite, the default database: one file, one connection that writes and one that reads."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import OutcomeUnknown, StartError, Unavailable
from ordermgmt.storage.database import Database, Result, Transaction, Value
from ordermgmt.storage.dialect import SQLITE
from ordermgmt.storage.migrations import load_migrations, migrate
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.threads import Threads

__all__ = ["SqliteDatabase", "open_database"]

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds to wait for another process (the command line, a backup) to let go of the file."""
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# fullfsync is for macOS, where fsync alone leaves the data in the drive's cache.
_WRITER = ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "foreign_keys = ON")


class _CommitFailedError(Exception):
    """The disk failed during COMMIT: what was written of it may be found complete after a crash."""


class SqliteTransaction:
    """A transaction on a connection, doomed by the first statement that fails.

    After FULL, IOERR or NOMEM SQLite may have rolled everything back and gone to autocommit: one more
    statement would then be durable by itself, and half a transaction kept.
    """

    dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._failure: BaseException | None = None
        self._over = False

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> Result:
        """Run one statement. See `Transaction.execute`."""
        self.check()
        try:
            cursor = self._connection.execute(sql, parameters)
            return Result(cursor.fetchall(), cursor.rowcount)
        except (sqlite3.Error, MemoryError) as error:
            self._failure = error
            raise

    def now(self) -> float:
        """Return the time of this machine, on which all users of the file are. See `Transaction.now`."""
        return self._clock.now()

    def check(self) -> None:
        """Raise if this is no longer a whole, open transaction."""
        if self._failure is not None:
            raise self._failure
        if self._over or not self._connection.in_transaction:
            msg = "the transaction is over"
            raise RuntimeError(msg)

    def end(self) -> None:
        """Refuse any further use."""
        self._over = True


class SqliteDatabase:
    """An open file. `open_database` makes one; it owns both connections."""

    def __init__(
        self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, threads: Threads, clock: Clock
    ) -> None:
        self._path = path
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._threads = threads
        self._turn = trio.CapacityLimiter(1)

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run in the event loop: for a few rows much cheaper than a thread. See `Database.read`."""

        async def attempt() -> T:
            await trio.lowlevel.checkpoint()
            return _transact(self._reader, "BEGIN", fn, self._clock)

        return await self._attempt(attempt)

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run in a thread, after the transactions that came before. See `Database.write`."""
        transact = partial(_transact, self._writer, "BEGIN IMMEDIATE", fn, self._clock)
        return await self._attempt(lambda: self._threads.run(transact, limiter=self._turn))

    async def _attempt(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await _patiently(attempt)
        except (Unavailable, OutcomeUnknown) as error:
            if isinstance(error.__cause__, sqlite3.Error | _CommitFailedError):  # or else `fn` raised it
                cause = error.__cause__.__cause__ or error.__cause__
                get_logger("storage").error(error.code, path=str(self._path), cause=str(cause))
            raise

    def close(self) -> None:
        """Close both connections; the last one of a file moves its write-ahead log into it."""
        self._reader.close()
        self._writer.close()


@contextlib.asynccontextmanager
async def open_database(
    path: Path, migrations: Traversable, *, threads: Threads, clock: Clock
) -> AsyncIterator[Database]:
    """Open the file, made with mode 0600 if there is none, bring its schema up to date; close it in the end.

    `migrations` is a folder of files `NNNN_name.sql`. Raises StartError, with one line that names the file,
    if it cannot be used: unreadable, locked, of a newer version, or damaged (every page is looked at, which
    takes about a second for a gigabyte).
    """
    try:
        known = load_migrations(migrations)
        writer, reader = await _patiently(lambda: threads.run(partial(_connect, path)))
    except (OSError, sqlite3.Error, Unavailable) as error:
        raise _start_error(path, error) from error
    database = SqliteDatabase(path, writer, reader, threads, clock)
    try:
        try:
            bring_up = partial(_transact, writer, "BEGIN IMMEDIATE", partial(migrate, known=known), clock)
            await _patiently(lambda: threads.run(bring_up))
        except (sqlite3.Error, StartError, Unavailable, OutcomeUnknown) as error:
            raise _start_error(path, error) from error
        yield database
    finally:
        database.close()


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
            msg = f"it is damaged: {verdict}"
            raise sqlite3.DatabaseError(msg)
        opened.pop_all()
    return writer, reader


def _make_private(path: Path) -> None:
    """Make the file and its folder, if they are not there, and keep the files to their owner.

    SQLite gives the files that it puts beside the database the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with contextlib.suppress(FileNotFoundError):
            file.chmod(0o600)


def _transact(connection: sqlite3.Connection, begin: str, fn: Callable[[Transaction], T], clock: Clock) -> T:
    """Run `fn` in a transaction that is committed, or leaves nothing behind."""
    if connection.in_transaction:
        # The last ROLLBACK failed; nothing may be added to what it left.
        connection.execute("ROLLBACK")
    connection.execute(begin)
    transaction = SqliteTransaction(connection, clock)
    try:
        result = fn(transaction)
        transaction.check()
        _commit(connection)
        return result
    finally:
        transaction.end()
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if _reason(error) == sqlite3.SQLITE_IOERR:
            raise _CommitFailedError from error
        raise


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until the file is not busy, sleeping outside any thread; turn SQLite's failures into our errors."""
    deadline = trio.current_time() + PATIENCE
    pause = FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except sqlite3.Error as error:
            reason = _reason(error)
            if reason not in _BUSY | _BROKEN:
                raise
            if reason in _BROKEN or trio.current_time() >= deadline:
                raise Unavailable("storage-unavailable", "the database cannot be used now", retry_after=1) from error
        except _CommitFailedError as error:
            raise OutcomeUnknown("storage-outcome-unknown", "the disk failed during the commit") from error
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _reason(error: sqlite3.Error) -> int:
    """Return the primary result code; 0 if the error is not SQLite's but the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _start_error(path: Path, error: Exception) -> StartError:
    cause = error.__cause__ if isinstance(error, Unavailable | OutcomeUnknown) else error
    return StartError(f"cannot use the database {path}: {getattr(cause, 'strerror', None) or cause}")
