"""What a group of transactions does on a connection: each has its savepoint, all have one COMMIT.

Everything here blocks, so it runs in a worker thread. Where statements take microseconds and only COMMIT waits for the
disk, `begin` and `finish` may run in different threads, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from outcome import Error, Maybe, Value

from ordermgmt.storage.database import Transaction

__all__ = ["CommitFailedError", "Connection", "Group", "OpenTransaction", "Pending", "RefusedInVainError", "Work"]

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


@dataclass(frozen=True, slots=True)
class Pending:
    """A group that has run up to its COMMIT; without a `connection` there is nothing to commit.

    Whoever does not give it to `Group.finish` closes its connection.
    """

    works: Sequence[Work]
    connection: Connection | None
    outcomes: list[Maybe[Any]] | None
    """What came of each. None: the group ended, and each has to run again alone."""
    begun: bool = True
    """Whether there was a connection at all."""

    def abandon(self) -> None:
        """Take back all of it."""
        if self.connection is not None:
            self.connection.close()


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
        return self.finish(self.begin(works))

    def begin(self, works: Sequence[Work]) -> Pending:
        """Run each of `works`, up to COMMIT."""
        try:
            connection = self._begin()
        except Exception as error:  # noqa: BLE001 - whoever waits for the result gets it
            return Pending(works, None, [Error(error) for _ in works], begun=False)
        try:
            if len(works) > 1:
                outcomes = [_member(connection, work) for work in works]
            else:
                outcomes = [Value(_alone(connection, work)) for work in works]
        except Exception as error:  # noqa: BLE001 - a group ends without a trace, and each one's own run will tell
            connection.close()
            return Pending(works, None, [Error(error)] if len(works) == 1 else None)
        except BaseException:
            connection.close()
            raise
        return Pending(works, connection, outcomes)

    def finish(self, pending: Pending) -> list[Maybe[Any]]:
        """Make what `begin` did durable, and return what came of each."""
        if pending.connection is None or pending.outcomes is None:
            return self._apart(pending.works) if pending.outcomes is None else pending.outcomes
        try:
            self._commit(pending.connection)
        except CommitFailedError as error:
            return [Error(error if isinstance(each, Value) else _in_vain(error)) for each in pending.outcomes]
        except Exception as error:  # noqa: BLE001 - each one's own run will tell
            if len(pending.works) == 1:
                return [Error(error)]
        else:
            return pending.outcomes
        finally:
            pending.connection.close()
        return self._apart(pending.works)

    def _apart(self, works: Sequence[Work]) -> list[Maybe[Any]]:
        """Run each in a transaction of its own."""
        outcomes: list[Maybe[Any]] = []
        for work in works:
            pending = self.begin([work])
            outcomes += self.finish(pending)
            if not pending.begun:
                # Nor would it begin for the others: they must not wait for that one after the other.
                return outcomes + [outcomes[-1] for _ in works[len(outcomes) :]]
        return outcomes

    def _commit(self, connection: Connection) -> None:
        connection.commit()
        self.commits += 1


def _alone(connection: Connection, work: Work) -> Any:
    transaction = connection.transaction()
    try:
        result = work(transaction)
        transaction.check()
    finally:
        transaction.end()
    return result


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
