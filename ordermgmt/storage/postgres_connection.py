"""The connection that writes to PostgreSQL, from BEGIN to COMMIT, and what became of a COMMIT without an answer."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from ordermgmt.clock import Clock
from ordermgmt.storage.group import CommitFailedError
from ordermgmt.storage.patience import LONGEST_PAUSE, PATIENCE
from ordermgmt.storage.postgres_transaction import PostgresTransaction

__all__ = ["Pool", "PostgresConnection", "borrow"]

Pool = ConnectionPool[psycopg.Connection[tuple[Any, ...]]]

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_current_xact_id()::text"


def borrow(pool: Pool, begin: str) -> tuple[psycopg.Connection[tuple[Any, ...]], str | None]:
    """Take a connection and begin on it; also return what the second statement of `begin` says, if it has one.

    A connection that turns out to be broken is thrown away, with all others that are: a restart breaks every one.
    """
    connection = pool.getconn()
    try:
        cursor = connection.execute(begin.encode())
        if not cursor.nextset():
            return connection, None
        ((text,),) = cursor.fetchall()
    except BaseException:
        broken = connection.broken
        give_back(pool, connection)
        if broken:
            pool.check()
        raise
    return connection, text


def give_back(pool: Pool, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Roll back what was not committed and give the connection back. Never raises."""
    if connection.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")
    pool.putconn(connection)


class PostgresConnection:
    """A transaction that writes, at READ COMMITTED: rows that decide something are locked by who reads them.

    Under a stricter level any two groups of two replicas would fail each other on the first row that both change,
    and the next number of a counter is such a row; here the second one waits.
    """

    def __init__(self, pool: Pool, clock: Clock | None) -> None:
        self._pool = pool
        self._clock = clock
        self._connection, self._id = borrow(pool, _BEGIN)
        self._marked = False

    def transaction(self) -> PostgresTransaction:
        """Return a transaction for one function."""
        return PostgresTransaction(self._connection, self._clock)

    def mark(self) -> None:
        """Set the savepoint. The one before is released by the same message, which saves the way to the server."""
        release = "RELEASE SAVEPOINT member; " if self._marked else ""
        self._connection.execute(f"{release}SAVEPOINT member".encode())
        self._marked = True

    def keep(self) -> None:
        """Release the savepoint, later."""

    def undo(self) -> None:
        """Take back what was done since the savepoint."""
        self._connection.execute("ROLLBACK TO SAVEPOINT member")

    def commit(self) -> None:
        """Make it durable. If the answer is lost, the server is asked again what became of the transaction."""
        try:
            tag = self._connection.execute("COMMIT").statusmessage
        except psycopg.OperationalError as error:
            if not self._connection.broken or not self._was_committed(error):
                raise
        else:
            if tag != "COMMIT":
                msg = f"COMMIT was answered by {tag}"
                raise RuntimeError(msg)

    def close(self) -> None:
        """Roll back what was not committed, and give the connection back."""
        give_back(self._pool, self._connection)

    def _was_committed(self, error: psycopg.OperationalError) -> bool:
        """Ask over another connection, as long as there is hope. Raises CommitFailedError if nobody can tell."""
        deadline = time.monotonic() + PATIENCE
        status = "in progress"
        self._pool.check()
        while status == "in progress" and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.Error), self._pool.connection() as other:
                ((status,),) = other.execute(b"SELECT pg_xact_status(%s::text::xid8)", [self._id]).fetchall()
            if status == "in progress":
                time.sleep(LONGEST_PAUSE)
        if status not in {"committed", "aborted"}:
            raise CommitFailedError from error
        return status == "committed"
