"""Transactions on a connection to SQLite, and what its errors mean for them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from ordermgmt.clock import Clock
from ordermgmt.storage.database import Result, Transaction, Value, refuse_control
from ordermgmt.storage.dialect import SQLITE
from ordermgmt.storage.group import CommitFailedError
from ordermgmt.storage.patience import Failure

__all__ = ["SqliteConnection", "SqliteTransaction", "judge", "read"]

T = TypeVar("T")

_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LASTING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# After these the statement alone is undone; after any other SQLite may have rolled everything back.
_STATEMENTS_OWN = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
        0,
    }
)


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
        refuse_control(sql)
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

    def survived(self) -> bool:
        """Tell whether what surrounds the savepoint is whole."""
        if isinstance(self._failure, MemoryError):
            return False
        own = self._failure is None or reason(self._failure) in _STATEMENTS_OWN
        return own and self._connection.in_transaction

    def end(self) -> None:
        """Refuse any further use."""
        self._over = True


class SqliteConnection:
    """The connection that writes, from BEGIN to COMMIT."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        if connection.in_transaction:
            # The last ROLLBACK failed; nothing may be added to what it left.
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        self._connection = connection
        self._clock = clock

    def transaction(self) -> SqliteTransaction:
        """Return a transaction for one function."""
        return SqliteTransaction(self._connection, self._clock)

    def mark(self) -> None:
        """Set the savepoint."""
        self._connection.execute("SAVEPOINT member")

    def keep(self) -> None:
        """Release the savepoint."""
        self._connection.execute("RELEASE member")

    def undo(self) -> None:
        """Take back what was done since the savepoint."""
        self._connection.execute("ROLLBACK TO member")
        self._connection.execute("RELEASE member")

    def commit(self) -> None:
        """Make it durable. What was written when the disk failed may be found complete after a crash."""
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if reason(error) == sqlite3.SQLITE_IOERR:
                raise CommitFailedError from error
            raise

    def close(self) -> None:
        """Roll back what was not committed. If even that fails the next one will make up for it."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def read(connection: sqlite3.Connection, clock: Clock, fn: Callable[[Transaction], T]) -> T:
    """Return `fn(transaction)`, which sees one snapshot."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    transaction = SqliteTransaction(connection, clock)
    try:
        result = fn(transaction)
        transaction.check()
        return result
    finally:
        transaction.end()
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def judge(error: BaseException) -> Failure | None:
    """Tell what an error means for a transaction of which nothing was committed."""
    if isinstance(error, sqlite3.Error):
        if reason(error) in _PASSING:
            return Failure.PASSING
        if reason(error) in _LASTING:
            return Failure.LASTING
    return Failure.LASTING if isinstance(error, MemoryError) else None


def reason(error: BaseException) -> int:
    """Return the primary result code; 0 if the error is not SQLite's but the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
