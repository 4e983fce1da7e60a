"""A file of SQLite as it is at one moment, to be read and copied while others go on writing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ordermgmt.clock import Clock
from ordermgmt.errors import StartError
from ordermgmt.storage.database import Transaction
from ordermgmt.storage.migrations import applied_migrations
from ordermgmt.storage.sqlite_transaction import SqliteTransaction

__all__ = ["Progress", "Snapshot", "open_snapshot"]

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Is told what is done, and of how much: both in bytes."""

_PAGES = 256
"""Pages of one step of a copy: 1 MiB, so about a millisecond between two reports."""


class Snapshot:
    """A connection whose read transaction, once pinned, shows one moment. Its methods block; use one thread at a time.

    While it is open the write-ahead log of the file can only grow. `open_snapshot` makes one, and closes it.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def pin(self) -> None:
        """Choose this very moment: BEGIN alone would wait for the first read."""
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()

    def read(self, fn: Callable[[Transaction], T]) -> T:
        """Return `fn(transaction)` of the pinned moment; it cannot write."""
        transaction = SqliteTransaction(self._connection, self._clock)
        try:
            return fn(transaction)
        finally:
            transaction.end()

    def schema(self) -> dict[int, str]:
        """Return the numbers of the migrations that made it, each with its checksum."""
        return self.read(applied_migrations)

    def check(self) -> None:
        """Look at every row, index and reference. Raises sqlite3.DatabaseError saying what is wrong first."""
        ((verdict,),) = self._connection.execute("PRAGMA integrity_check(1)").fetchall()
        dangling = self._connection.execute("PRAGMA foreign_key_check").fetchone()
        if verdict == "ok" and dangling is not None:
            verdict = f"a row of {dangling[0]} refers to none of {dangling[2]}"
        if verdict != "ok":
            raise sqlite3.DatabaseError(" ".join(verdict.split()))

    def copy(self, target: Path, progress: Progress) -> None:
        """Write the pinned moment to a new file, 0600 and on disk. Raises OSError, sqlite3.Error.

        SQLite copies what the open transaction sees, and starts over only if that could change: here it cannot.
        """
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        ((page_size,),) = self._connection.execute("PRAGMA page_size").fetchall()

        def report(_: int, remaining: int, total: int) -> None:
            progress((total - remaining) * page_size, total * page_size)

        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            self._connection.backup(copy, pages=_PAGES, progress=report)


@contextlib.contextmanager
def open_snapshot(path: Path, clock: Clock) -> Iterator[Snapshot]:
    """Open a file that must be there; leaving the block closes it. Raises StartError."""
    with contextlib.ExitStack() as stack:
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=1,
                isolation_level=None,
                check_same_thread=False,
            )
            stack.callback(connection.close)
            connection.execute("PRAGMA query_only = ON")
            # Opens the file and its log, so that `pin` takes no time.
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
        except sqlite3.Error as error:
            msg = f"cannot read {path}: {error}"
            raise StartError(msg) from error
        yield Snapshot(connection, clock)
