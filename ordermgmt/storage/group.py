"""What a group of transactions does on a connection: each has its savepoint, all have one COMMIT.

Everything here blocks, so it runs in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from outcome import Error, Maybe, Value

from ordermgmt.storage.database import Transaction

__all__ = ["CommitFailedError", "Connection", "Group", "OpenTransaction", "RefusedInVainError", "Work"]

Work = Callable[[Transaction], Any]
"""What a transaction does."""


class CommitFailedError(Exception):
    """COMMIT was sent, and what came of it is not known. The cause is the engine's own error."""


class RefusedInVainError(Exception):
    """A transaction refused, changing nothing, but what it had seen was never committed. Causes as above."""


class _GroupEndedError(Exception):
    """The transaction under the savepoints is gone, or not to be trusted."""


class OpenTransaction(Transaction, Protocol):
    """A transaction as whoever opened it sees it."""

    def check(self) -> None:
        """Raise what a statement failed with, if one did, or if this is no longer an open transaction."""
        ...

    def survived(self) -> bool:
        """Tell whether what surrounds this one's savepoint is whole, whatever happened inside."""
        ...

    def end(self) -> None:
        """Refuse any further use."""
        ...


class Connection(Protocol):
    """A connection within BEGIN and COMMIT, in the hands of one thread."""

    def transaction(self) -> OpenTransaction:
        """Return a transaction for one function: all of it, or one savepoint's part."""
        ...

    def mark(self) -> None:
        """Set the savepoint; there is one at a time."""
        ...

    def keep(self) -> None:
        """Release the savepoint."""
        ...

    def undo(self) -> None:
        """Take back what was done since the savepoint, and release it."""
        ...

    def commit(self) -> None:
        """Make it durable. Raises CommitFailedError if it cannot be known whether it is."""
        ...

    def close(self) -> None:
        """Roll back what was not committed. Never raises."""
        ...


class Group:
    """Runs groups on connections that `begin` opens. It belongs to one writer at a time."""

    def __init__(self, begin: Callable[[], Connection]) -> None:
        self._begin = begin
        self.commits = 0

    def run(self, works: Sequence[Work]) -> list[Maybe[Any]]:
        """Run each of `works` in a transaction, and return what came of each; what was done is durable then.

        They share one COMMIT if all goes well. One that raises takes back its own part alone. Whatever else goes
        wrong before COMMIT ends the group without a trace, and each runs again in a transaction of its own.
        """
        outcomes = self._together(works) if len(works) > 1 else None
        return self._apart(works) if outcomes is None else outcomes

    def _together(self, works: Sequence[Work]) -> list[Maybe[Any]] | None:
        """Run them under one COMMIT, or return None if that was not to be."""
        try:
            connection = self._begin()
        except Exception as error:  # noqa: BLE001 - whoever waits for the result gets it
            return [Error(error) for _ in works]
        outcomes: list[Maybe[Any]] = []
        try:
            outcomes += [_member(connection, work) for work in works]
            self._commit(connection)
        except CommitFailedError as error:
            return [Error(error if isinstance(each, Value) else _in_vain(error)) for each in outcomes]
        except Exception:  # noqa: BLE001 - each one's own run will tell
            return None
        finally:
            connection.close()
        return outcomes

    def _apart(self, works: Sequence[Work]) -> list[Maybe[Any]]:
        outcomes: list[Maybe[Any]] = []
        for work in works:
            try:
                connection = self._begin()
            except Exception as error:  # noqa: BLE001 - as above
                # Nor would it begin for the others: they must not wait for that one after the other.
                return outcomes + [Error(error) for _ in works[len(outcomes) :]]
            try:
                outcomes.append(Value(self._alone(connection, work)))
            except Exception as error:  # noqa: BLE001 - as above
                outcomes.append(Error(error))
            finally:
                connection.close()
        return outcomes

    def _alone(self, connection: Connection, work: Work) -> Any:
        transaction = connection.transaction()
        try:
            result = work(transaction)
            transaction.check()
        finally:
            transaction.end()
        self._commit(connection)
        return result

    def _commit(self, connection: Connection) -> None:
        connection.commit()
        self.commits += 1


def _member(connection: Connection, work: Work) -> Maybe[Any]:
    connection.mark()
    transaction = connection.transaction()
    try:
        result = work(transaction)
        transaction.check()
    except Exception as error:
        if not transaction.survived():
            raise _GroupEndedError from error
        connection.undo()
        return Error(error)
    finally:
        transaction.end()
    connection.keep()
    return Value(result)


def _in_vain(error: CommitFailedError) -> RefusedInVainError:
    refused = RefusedInVainError()
    refused.__cause__ = error.__cause__
    return refused
