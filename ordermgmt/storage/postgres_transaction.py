"""Transactions on a connection to PostgreSQL, and what its errors mean for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import NumericLoader

from ordermgmt.clock import Clock
from ordermgmt.storage.database import Result, Value, refuse_control
from ordermgmt.storage.dialect import POSTGRES
from ordermgmt.storage.patience import Failure

__all__ = ["NumberLoader", "PostgresTransaction", "judge", "translate"]

_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | [?%]""",
    re.VERBOSE | re.DOTALL,
)
_ROLLED_BACK = "40"  # class "transaction rollback": deadlock, serialization failure
# The server is starting, stopping, crashed, has no connection left, or did not grant a lock in time.
_PASSING = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "55P03", "25P03", "25P04"})
_CONNECTION = "08"
# Out of disk, memory or time; read-only; damaged.
_LASTING = ("53", "54001", "57014", "58", "25006", "XX", "F0", "28", "3D")


class PostgresTransaction:
    """A transaction on a connection, doomed by the first statement that fails."""

    dialect = POSTGRES

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], clock: Clock | None) -> None:
        self._connection = connection
        self._clock = clock
        self._failure: Exception | None = None
        self._over = False

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> Result:
        """Run one statement. See `Transaction.execute`."""
        self.check()
        refuse_control(sql)
        try:
            cursor = self._connection.execute(translate(sql).encode(), [_bind(value) for value in parameters])
            rows = cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as error:
            self._failure = error
            raise
        changed = not (cursor.statusmessage or "").startswith("SELECT")
        return Result(rows, cursor.rowcount if changed else -1)

    def now(self) -> float:
        """Return the time of the server. See `Transaction.now`."""
        if self._clock is not None:
            return self._clock.now()
        ((now,),) = self.execute("SELECT extract(epoch FROM clock_timestamp())::float8").rows
        return float(now)

    def check(self) -> None:
        """Raise if this is no longer a whole, open transaction."""
        if self._failure is not None:
            raise self._failure
        if self._over or self._connection.info.transaction_status is not TransactionStatus.INTRANS:
            msg = "the transaction is over"
            raise RuntimeError(msg)

    def survived(self) -> bool:
        """Tell whether what surrounds the savepoint is whole: a failed statement takes the savepoint's part only."""
        state = getattr(self._failure, "sqlstate", None) or ""
        status = self._connection.info.transaction_status
        alive = status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}
        return alive and not state.startswith(_ROLLED_BACK)

    def end(self) -> None:
        """Refuse any further use."""
        self._over = True


class NumberLoader(NumericLoader):
    """Reads `numeric`, the type of a sum of integers, as SQLite gives it: an int, or else a float."""

    def load(self, data: Any) -> Any:
        """Return the number."""
        text = bytes(data).decode()
        return float(text) if set(text) - set("-0123456789") else int(text)


@lru_cache(maxsize=512)
def translate(sql: str) -> str:
    """Return a statement with the placeholders of psycopg instead of `?`; those in quotes and comments stay."""
    return _TOKENS.sub(lambda found: "%s" if found[0] == "?" else found[0].replace("%", "%%"), sql)


def judge(error: BaseException) -> Failure | None:
    """Tell what an error means for a transaction of which nothing was committed."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        # The connection is lost, or there is none to be had.
        return Failure.PASSING if isinstance(error, psycopg.OperationalError) else None
    if state in _PASSING or state.startswith((_ROLLED_BACK, _CONNECTION)):
        return Failure.PASSING
    return Failure.LASTING if state.startswith(_LASTING) else None


def _bind(value: Value) -> Value:
    return int(value) if isinstance(value, bool) else value
