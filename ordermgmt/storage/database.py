"""What a service sees of a database: two small classes, the same for every engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import msgspec

from ordermgmt.storage.dialect import Dialect

__all__ = ["Database", "OpenDatabase", "Result", "Transaction", "Value", "refuse_control"]

T = TypeVar("T")

Value = str | int | float | bytes | None
"""What a parameter may be."""


class Result(msgspec.Struct, frozen=True):
    """What a statement came to."""

    rows: list[tuple[Any, ...]]
    """All rows of a query; empty for other statements."""
    rowcount: int
    """Rows that the statement changed; -1 for a query."""


class Transaction(Protocol):
    """An open transaction. It ends with the function that it was given to."""

    @property
    def dialect(self) -> Dialect:
        """How this engine wants its SQL."""
        ...

    def now(self) -> float:
        """Return the time of the database, in seconds since 1970: the one clock that all its users share."""
        ...

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> Result:
        """Run one statement with `?` placeholders.

        A statement that fails dooms the transaction, even if the function catches the error: so where a row
        may exist already, say `ON CONFLICT DO NOTHING` and look at `rowcount`. BEGIN, COMMIT, SAVEPOINT and
        their like are refused: others' transactions may be around this one.
        """
        ...


class Database(Protocol):
    """A database of one service.

    A function given to `read` or `write` is a plain `def` that has no effects but those of its SQL: it may
    be called again when its transaction had to be. What it raises rolls its transaction back and is raised
    to the caller as it is.

    Both raise `Unavailable("storage-unavailable")` when the database is locked for too long, full or broken:
    nothing was changed, and the cause is in the log. `write` raises `Unavailable("storage-busy")` when too many
    wait, and `OutcomeUnknown("storage-outcome-unknown")` when the disk failed during the commit itself: the
    change may come back after a crash.
    """

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Return `fn(transaction)`, which sees one consistent snapshot and can change nothing.

        It may run in the event loop: keep it to a few rows.
        """
        ...

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Return `fn(transaction)` after its changes are on disk; transactions run one after the other.

        Those that wait at the same time share a COMMIT. Nothing that `fn` returns or raises is delivered before
        that is durable, so that nobody acts on what a crash could take back.

        Cancellation is atomic: either nothing was done and Cancelled is raised, or the change is durable
        and its result is returned. It touches nobody else's transaction.
        """
        ...

    def close(self) -> None:
        """Close the files. Whoever opened the database does this, after its last user is done."""
        ...


class OpenDatabase(Database, Protocol):
    """A database as `open_database` makes it, which counts: `transactions / commits` is how many shared a COMMIT."""

    @property
    def commits(self) -> int:
        """How many COMMITs there were since the start."""
        ...

    @property
    def transactions(self) -> int:
        """How many calls of `write` got a result or an error since the start."""
        ...


_CONTROL = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION|SET\s+TRANSACTION)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=512)
def refuse_control(sql: str) -> None:
    """Raise ValueError for a statement that would begin or end a transaction, or a part of one."""
    if _CONTROL.match(sql):
        msg = f"a transaction ends with its function, not by a statement: {sql.split(maxsplit=1)[0]}"
        raise ValueError(msg)
