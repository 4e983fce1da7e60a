"""Group commit: transactions that wait while one group runs form the next group, and share its COMMIT."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import trio
from outcome import Error, Maybe, Value, capture

from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.storage.database import Transaction
from ordermgmt.storage.group import CommitFailedError, Connection, Group, RefusedInVainError, Work
from ordermgmt.storage.patience import FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, Failure, Judge, one_line, unavailable
from ordermgmt.storage.turns import Turns
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.trace import Span, current_span, linked
from ordermgmt.threads import Threads

__all__ = ["MAX_GROUP", "MAX_WAITING", "GroupCommit"]

T = TypeVar("T")

MAX_GROUP = 64
"""Transactions of one COMMIT. At some ten statements of 10 us each a full group takes about 6 ms on SQLite."""
MAX_WAITING = 1024
"""Transactions that wait: 16 full groups, so about 0.1 s for the last one, and 1 MB. One more is refused."""


class _Member:
    """A transaction that waits for its result. Without one it is woken to lead."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.task = trio.lowlevel.current_task()
        self.deadline = trio.current_time() + PATIENCE
        self.span = current_span()
        self.result: Maybe[Any] | None = None
        self.raise_cancel: Callable[[], Any] | None = None


class GroupCommit:
    """The transactions of one database that write, in groups, in the order in which they came.

    `begin` opens a transaction, `judge` tells what an engine's error means (None: it is no error of the engine's),
    `database` names the database in the log. `commits` and `transactions` count what has been done: their
    quotient is how many transactions shared a commit. `quick` tells that statements take microseconds: they then run
    in the event loop, where no thread has to wait for the interpreter between any two of them, and only COMMIT, which
    waits for the disk, runs in a thread. `turns` are for a database that other processes write, too: those that come
    while a group waits for its turn join it.

    The first one that finds nobody at work leads: it runs the group in a thread for all of them, and when it has
    its own result it leaves the lead to the next. So a lone transaction waits for nobody, and nothing runs when
    nobody waits.
    """

    def __init__(
        self,
        begin: Callable[[], Connection],
        judge: Judge,
        threads: Threads,
        *,
        database: str,
        quick: bool = False,
        turns: Turns | None = None,
    ) -> None:
        self._group = Group(begin)
        self._judge = judge
        self._threads = threads
        self._database = database
        self._quick = quick
        self._turns = turns
        self._turn = trio.CapacityLimiter(1)
        self._waiting: deque[_Member] = deque()
        self._led = False
        self.transactions = 0

    @property
    def commits(self) -> int:
        """How many COMMITs there were."""
        return self._group.commits

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Return `work(transaction)` once its group is durable. See `Database.write`.

        Cancelled while it waits for its group, or between two attempts, it has done nothing. Once its group has
        begun it gets its result, and the cancellation comes at the next checkpoint.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("storage-busy", "too many changes wait for the database", retry_after=1)
        await trio.lowlevel.checkpoint_if_cancelled()
        member = _Member(work)
        self._waiting.append(member)
        if self._led:
            await self._wait(member)
        if member.result is None:
            await self._lead(member)
        result: T = member.result.unwrap()  # type: ignore[union-attr]
        return result

    async def _wait(self, member: _Member) -> None:
        """Wait for the result or the lead."""

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            if member in self._waiting:
                self._waiting.remove(member)
                return trio.lowlevel.Abort.SUCCEEDED
            member.raise_cancel = raise_cancel
            return trio.lowlevel.Abort.FAILED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _lead(self, leader: _Member) -> None:
        """Run groups until the leader has its own result; whatever happens, the next one leads then."""
        self._led = True
        pause = FIRST_PAUSE
        try:
            while True:
                if self._turns is not None:
                    await self._turns.take()
                group = [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]
                try:
                    with linked("commit", [member.span for member in group]) as span:
                        outcomes = await self._run([member.work for member in group])
                        if span is not None:
                            span.attributes["ordermgmt.transactions"] = len(group)
                            self._conclude(span, outcomes)
                except BaseException:
                    self._put_back([member for member in group if member is not leader])
                    raise
                finally:
                    if self._turns is not None:
                        self._turns.give()
                self._settle(leader, group, outcomes)
                if leader.result is not None:
                    return
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if leader in self._waiting:
                self._waiting.remove(leader)
            self._led = bool(self._waiting)
            if self._led:
                trio.lowlevel.reschedule(self._waiting[0].task)

    async def _run(self, works: Sequence[Work]) -> list[Maybe[Any]]:
        if not self._quick:
            return await self._threads.run(partial(self._group.run, works), limiter=self._turn)
        pending = self._group.begin(works)
        try:
            return await self._threads.run(partial(self._group.finish, pending), limiter=self._turn)
        except BaseException:
            pending.abandon()
            raise

    def _conclude(self, span: Span, outcomes: Sequence[Maybe[Any]]) -> None:
        """Say how a commit came out: it failed if the engine did, not if what a transaction saw made it refuse."""
        span.conclude("ok", "")
        for outcome in outcomes:
            error = outcome.error if isinstance(outcome, Error) else None
            if isinstance(error, CommitFailedError | RefusedInVainError) or (error and self._judge(error) is not None):
                span.conclude("failed", type(error).__name__)

    def _settle(self, leader: _Member, group: Sequence[_Member], outcomes: Sequence[Maybe[Any]]) -> None:
        """Give each of the group its result, or another attempt."""
        again: list[_Member] = []
        causes: dict[str, BaseException | None] = {}
        for member, outcome in zip(group, outcomes, strict=True):
            failure = self._judge(outcome.error) if isinstance(outcome, Error) else None
            if failure is Failure.PASSING and trio.current_time() < member.deadline:
                again.append(member)
                continue
            member.result = _answer(outcome, failure)
            self.transactions += 1
            if isinstance(member.result, Error) and member.result is not outcome:
                causes[str(member.result.error)] = member.result.error.__cause__
            if member is not leader:
                trio.lowlevel.reschedule(member.task)
        self._put_back(again)
        for answer, cause in causes.items():
            get_logger("storage").error("write-failed", database=self._database, answer=answer, cause=one_line(cause))

    def _put_back(self, members: Sequence[_Member]) -> None:
        """Let them wait again, but for those that were cancelled meanwhile: nothing was done for them."""
        for member in reversed(members):
            if member.raise_cancel is None:
                self._waiting.appendleft(member)
            else:
                trio.lowlevel.reschedule(member.task, capture(member.raise_cancel))


def _answer(outcome: Maybe[Any], failure: Failure | None) -> Maybe[Any]:
    """Return what the caller gets: errors of the engine become ours."""
    if isinstance(outcome, Value):
        return outcome
    if isinstance(outcome.error, CommitFailedError):
        unknown = OutcomeUnknown("storage-outcome-unknown", "the database failed during the commit")
        unknown.__cause__ = outcome.error.__cause__
        return Error(unknown)
    if failure is None and not isinstance(outcome.error, RefusedInVainError):
        return outcome
    return Error(unavailable(outcome.error.__cause__ if failure is None else outcome.error))
