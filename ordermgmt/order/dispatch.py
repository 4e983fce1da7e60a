"""The way of operations to inventory: many travel in one request, and each has its own answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Error, Internal, OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import MAX_ACKNOWLEDGED, MAX_BATCH_LINES, MAX_OPERATIONS, Operation, Outcome
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.trace import Span, current_span, linked

__all__ = ["Dispatcher", "StockKeeper"]

MAX_QUEUE = 1024
"""Operations that wait for the next request: twice the changes that may be under way at once. Four full requests empty
it; with 200 lines of 100 bytes each it would hold 20 MB."""
MAX_TO_ACKNOWLEDGE = 4 * MAX_ACKNOWLEDGED
"""Outcomes that wait to be acknowledged, 100 bytes each. One more is found in the database later."""


class StockKeeper(Protocol):
    """Whoever keeps the stock: the inventory service's client."""

    async def apply_all(
        self, operations: Sequence[Operation], acknowledged: Sequence[str] = (), *, sent_at: float | None = None
    ) -> list[Outcome]:
        """Decide operations in one request, sent once, and let those that are `acknowledged` be forgotten.

        `sent_at` is when the sender last knew that it may send them, in seconds since 1970. Raises Unavailable if
        surely nothing of it was or will be done, OutcomeUnknown if something may have been, Internal if the request
        was not understood, so that nothing was done.
        """
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    operation: Operation
    claimed_at: float
    span: Span | None = field(default_factory=current_span)
    answered: trio.Event = field(default_factory=trio.Event)
    answer: Outcome | Error = field(default_factory=lambda: OutcomeUnknown("outcome-unknown"))

    def resolve(self, answer: Outcome | Error) -> None:
        self.answer = answer
        self.answered.set()


class Dispatcher:
    """Sends operations to a stock keeper, which stays the caller's. `run` must be running.

    One request is under way at a time: those that come meanwhile go with the next, so requests grow with the load,
    and one that comes alone waits for nobody. More at once would make more and smaller requests for a keeper that
    decides them one after the other anyway. One request may take `timeout` seconds, and an operation may wait for
    it `patience` seconds. `hop` is entered around what is sent and its answer, and may make it wait.
    """

    def __init__(
        self,
        stock: StockKeeper,
        *,
        timeout: float,
        patience: float,
        clock: Clock,
        hop: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.hops = 0
        """Requests that were sent."""
        self.sent = 0
        """Operations that were sent, each time."""
        self._stock = stock
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._to_acknowledge: dict[str, None] = {}
        self._acknowledged: list[str] = []
        self._wanted = trio.Event()
        self._turn = hop
        self._log = get_logger("order")

    async def ask(self, operation: Operation, *, claimed_at: float) -> Outcome:
        """Have an operation decided that is ours to send since `claimed_at` (seconds since 1970).

        It is sent while that is fresh, or not at all: later on others may do it. Raises Unavailable if this call
        surely did nothing and will do nothing, OutcomeUnknown if it may have, Internal if it was not understood. A
        caller that is cancelled ends its wait only.
        """
        if len(self._queue) >= MAX_QUEUE:
            raise Unavailable("busy", "too many operations wait for the inventory service", retry_after=1)
        waiting = _Waiting(operation, claimed_at)
        self._queue.append(waiting)
        self._wanted.set()
        await waiting.answered.wait()
        if isinstance(waiting.answer, Error):
            raise waiting.answer.with_traceback(None)  # it may be the answer of others, too
        return waiting.answer

    def acknowledge(self, operation_ids: Iterable[str], *, at_once: bool) -> None:
        """Tell inventory that these outcomes are applied: at once, or with the next operations that travel."""
        for operation_id in operation_ids:
            if len(self._to_acknowledge) < MAX_TO_ACKNOWLEDGE:
                self._to_acknowledge[operation_id] = None
        if at_once:
            self._wanted.set()

    def take_acknowledged(self) -> list[str]:
        """Return the next operations that inventory may have forgotten, at most MAX_ACKNOWLEDGED."""
        taken = self._acknowledged[:MAX_ACKNOWLEDGED]
        del self._acknowledged[:MAX_ACKNOWLEDGED]
        return taken

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what is to be sent, until cancelled."""
        task_status.started()
        while True:
            await self._wanted.wait()
            async with self._turn():
                self._wanted = trio.Event()
                await self._send(self._next_batch())
                if self._queue:
                    self._wanted.set()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        lines = 0
        now = self._clock.now()
        while self._queue and len(batch) < MAX_OPERATIONS:
            waiting = self._queue[0]
            lines += len(waiting.operation.lines)
            if lines > MAX_BATCH_LINES:
                break
            self._queue.popleft()
            if waiting.claimed_at + self._patience < now:
                waiting.resolve(Unavailable("inventory-slow", "the inventory service is too slow", retry_after=1))
                lines -= len(waiting.operation.lines)
            else:
                batch.append(waiting)
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        """Send a batch. One that is not understood is sent again one by one, so that nobody pays for another."""
        acknowledged = list(self._to_acknowledge)[:MAX_ACKNOWLEDGED]
        if not batch and not acknowledged:
            return
        answers = await self._hop(batch, acknowledged)
        if not isinstance(answers, Internal) or len(batch) + len(acknowledged) <= 1:
            _resolve(batch, answers)
            return
        for place, waiting in enumerate(batch):
            alone = await self._hop([waiting], ())
            _resolve([waiting], alone)
            if isinstance(alone, OutcomeUnknown):
                # Nobody is there any more. What was not understood as a whole was not done either.
                _resolve(batch[place + 1 :], Unavailable("inventory-no-answer", alone.detail, retry_after=1))
                return

    async def _hop(self, batch: Sequence[_Waiting], acknowledged: Sequence[str]) -> list[Outcome] | Error:
        operations = [waiting.operation for waiting in batch]
        claimed_at = min((waiting.claimed_at for waiting in batch), default=None)
        self.hops += 1
        self.sent += len(operations)
        try:
            # For all of them: not a part of any one.
            with linked("batch", [waiting.span for waiting in batch]) as span:
                if span is not None:
                    span.attributes["ordermgmt.operations"] = len(operations)
                with trio.fail_after(self._timeout):
                    outcomes = await self._stock.apply_all(operations, acknowledged, sent_at=claimed_at)
        except trio.TooSlowError:
            return OutcomeUnknown("outcome-unknown", "the inventory service did not answer in time")
        except (Unavailable, OutcomeUnknown, Internal) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault on the way of one request must not end all others
            self._log.error("inventory-call-failed", exc_info=error)
            return OutcomeUnknown("inventory-call-failed", "the inventory service could not be asked")
        for operation_id in acknowledged:
            self._to_acknowledge.pop(operation_id, None)
        self._acknowledged += acknowledged
        return outcomes


def _resolve(batch: Sequence[_Waiting], answers: Sequence[Outcome] | Error) -> None:
    for place, waiting in enumerate(batch):
        waiting.resolve(answers if isinstance(answers, Error) else answers[place])
