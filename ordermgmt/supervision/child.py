"""One supervised service: run it, restart it by policy, drain it, and in the end cut it off."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import trio

from ordermgmt.errors import Error, StartError
from ordermgmt.supervision.health import Board, State
from ordermgmt.supervision.policy import GiveUp, RestartPolicy
from ordermgmt.telemetry.logs import get_logger

__all__ = ["Child", "Crashed", "Keeper", "Run", "ServiceFailed", "is_explained", "one_line"]

LINE_LENGTH = 300
"""Characters of a failure that fit one line for a person."""


class ServiceFailed(Exception):
    """Why a suite that had started did not end well: one line that names the service."""


class Crashed(Exception):
    """Why a child crashed that is no coroutine of this process: one line, and no traceback here would tell more."""


class Run(Protocol):
    """A service's coroutine."""

    async def __call__(self, drain: trio.Event, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Start, call `task_status.started()` when able to serve, and serve until `drain` is set.

        Then finish what is in flight, close everything and return. Returning before is a crash.
        """
        ...


@dataclass(frozen=True, slots=True)
class Child:
    """A service by its name on the board."""

    name: str
    run: Run


def one_line(error: BaseException) -> str:
    """Describe a failure, or a group of them, in one line of at most `LINE_LENGTH` characters."""
    reasons = dict.fromkeys(_describe(leaf) for leaf in _leaves(error))
    line = "; ".join(reasons)
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def is_explained(error: BaseException) -> bool:
    """Tell whether a failure, or each of a group of them, explains itself; anything else needs its traceback."""
    return all(isinstance(leaf, StartError | Crashed) for leaf in _leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in error.exceptions:
        yield from _leaves(member)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, Error | StartError | Crashed | ServiceFailed) and text:
        return text  # already a sentence for a person
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Keeper:
    """Keeps one child running.

    `ready` is set when its first start has succeeded, `ended` when nothing of it is left. A failure that is
    not for a restart to cure goes to `on_failure`: StartError if it never started, otherwise ServiceFailed.
    """

    def __init__(
        self, child: Child, *, policy: RestartPolicy, board: Board, on_failure: Callable[[Exception], None]
    ) -> None:
        self.ready = trio.Event()
        self.ended = trio.Event()
        self._child = child
        self._policy = policy
        self._board = board
        self._on_failure = on_failure
        self._drain = trio.Event()
        self._scope = trio.CancelScope()
        self._log = get_logger(child.name)
        # the policy needs to see one crash more than it allows, and none before those
        self._crashes: deque[float] = deque(maxlen=policy.max_restarts + 1)

    async def keep(self) -> None:
        """Run the child until it is drained, given up or cut off. Raises nothing but a cancellation from outside."""
        try:
            with self._scope:
                while (pause := await self._live()) is not None:
                    await trio.sleep(pause)
                    self._board.record(self._child.name, State.STARTING, restarted=True)
        finally:
            self.cut()  # if the cancellation came from outside, it is noted here
            if self._state not in {State.FAILED, State.STOPPED}:
                self._record(State.STOPPED)
            self.ended.set()

    def drain(self) -> None:
        """Ask the child to finish what is in flight; one that is not running has nothing, and ends at once."""
        self._drain.set()
        if self._state is State.RUNNING:
            self._record(State.DRAINING)
        else:
            self._scope.cancel()

    def cut(self) -> None:
        """Cancel what is left of the child; if it had work in hand, that is a failure."""
        if self._state in {State.RUNNING, State.DRAINING}:
            late = "did not drain in time" if self._state is State.DRAINING else "had no time to drain"
            crash = f"{late} and was cut off"
            self._fail(crash, ServiceFailed(f"{self._child.name} {crash}"))
        self._scope.cancel()
        self._drain.set()

    async def _live(self) -> float | None:
        """Run the child once. Return the seconds to wait before it is run again, None if that is over."""
        if self._state is State.WAITING:
            self._record(State.STARTING)
        crash = await self._run()
        if crash is None:
            if self._state is State.DRAINING:
                self._record(State.STOPPED)
            return None
        if not self.ready.is_set():
            self._fail(crash, StartError(f"{self._child.name} cannot start: {crash}"))
            return None
        if self._drain.is_set():
            self._fail(crash, ServiceFailed(f"{self._child.name} failed while draining: {crash}"))
            return None
        return self._decide(crash)

    async def _run(self) -> str | None:
        """Run the child once. Return why it crashed, None if it was drained."""
        crash = None
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._child.run, self._drain, name=self._child.name)
                self._record(State.RUNNING)
                self.ready.set()
        except* Exception as group:  # noqa: BLE001 - whatever a service raises is a crash of that service
            crash = one_line(group)
            explained = is_explained(group)
            if self.ready.is_set() or not explained:  # what explains a failed start is said once, where that ends
                self._log.error("crashed", reason=crash, exc_info=None if explained else group)
        if crash is None and not self._drain.is_set():
            crash = "returned although nobody had asked it to stop"
            self._log.error("crashed", reason=crash)
        return crash

    def _decide(self, crash: str) -> float | None:
        now = trio.current_time()
        self._crashes.append(now)
        decision = self._policy.decide(self._crashes, now)
        if isinstance(decision, GiveUp):
            count = f"{decision.crashes} times in {decision.window:g} s"
            self._fail(crash, ServiceFailed(f"{self._child.name} failed {count}, last: {crash}"))
            return None
        self._record(State.BACKING_OFF, error=crash)
        self._log.warning("restarting", after=decision.seconds)
        return decision.seconds

    @property
    def _state(self) -> State:
        return self._board.snapshot()[self._child.name].state

    def _record(self, state: State, *, error: str | None = None) -> None:
        self._board.record(self._child.name, state, error=error)
        self._log.info(str(state))

    def _fail(self, crash: str, failure: Exception) -> None:
        self._board.record(self._child.name, State.FAILED, error=crash)
        if isinstance(failure, ServiceFailed):
            self._log.error("failed", reason=crash)
        self._on_failure(failure)
