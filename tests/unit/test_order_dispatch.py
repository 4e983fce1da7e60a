"""Operations travel together, and each has its own answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from ordermgmt.errors import Conflict, Error, Internal, OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import (
    MAX_ACKNOWLEDGED,
    MAX_BATCH_LINES,
    MAX_LINES,
    MAX_OPERATIONS,
    Line,
    Operation,
    Outcome,
)
from ordermgmt.order.dispatch import Dispatcher
from ordermgmt.testing.clocks import VirtualClock

Fault = Callable[[Sequence[Operation]], Error | None]


class Keeper:
    """Says yes after a second, unless a fault says otherwise."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.lines: list[int] = []
        self.acknowledged: list[list[str]] = []
        self.sent_at: list[float | None] = []
        self.fault: Fault = lambda _: None
        self.under_way = 0

    async def apply_all(
        self, operations: Sequence[Operation], acknowledged: Sequence[str] = (), *, sent_at: float | None = None
    ) -> list[Outcome]:
        self.requests.append([operation.id for operation in operations])
        self.lines.append(sum(len(operation.lines) for operation in operations))
        self.acknowledged.append(list(acknowledged))
        self.sent_at.append(sent_at)
        self.under_way += 1
        assert self.under_way == 1
        try:
            await trio.sleep(1)
        finally:
            self.under_way -= 1
        error = self.fault(operations)
        if error is not None:
            raise error
        return [
            Outcome(operation.id, Conflict("out-of-stock") if operation.id == "short" else None)
            for operation in operations
        ]


class Desk:
    """A dispatcher, and what was answered by operation id."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.keeper = Keeper()
        self.clock = VirtualClock()
        self.dispatcher = Dispatcher(self.keeper, timeout=10, patience=5, clock=self.clock)
        self.answers: dict[str, Outcome | Error] = {}
        self._nursery = nursery

    def ask(self, operation_id: str, *, lines: int = 1, claimed_at: float | None = None) -> None:
        operation = Operation(operation_id, (Line("books", "a", -1),) * lines)
        self._nursery.start_soon(self._ask, operation, self.clock.now() if claimed_at is None else claimed_at)

    async def _ask(self, operation: Operation, claimed_at: float) -> None:
        try:
            self.answers[operation.id] = await self.dispatcher.ask(operation, claimed_at=claimed_at)
        except Error as error:
            self.answers[operation.id] = error


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    async with trio.open_nursery() as nursery:
        one = Desk(nursery)
        await nursery.start(one.dispatcher.run)
        yield one
        nursery.cancel_scope.cancel()


async def test_a_lone_operation_waits_for_nobody(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        at = trio.current_time()
        await one.dispatcher.ask(Operation("a", (Line("b", "c", 1),)), claimed_at=one.clock.now())
        assert trio.current_time() - at == 1
        assert (one.dispatcher.hops, one.dispatcher.sent) == (1, 1)


async def test_what_comes_meanwhile_travels_together_with_the_next(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.ask("a")
        await trio.sleep(0.5)
        for name in ("b", "short", "c"):
            one.ask(name)
        await trio.sleep(2)
        assert [sorted(request) for request in one.keeper.requests] == [["a"], ["b", "c", "short"]]
        refused = {name: answer for name, answer in one.answers.items() if answer != Outcome(name)}
        assert list(refused) == ["short"]
        assert len(one.answers) == 4


async def test_batches_keep_within_the_contract(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.ask("first")
        await trio.sleep(0.5)
        for number in range(MAX_OPERATIONS + 1):
            one.ask(f"small-{number}")
        for number in range(MAX_BATCH_LINES // MAX_LINES + 1):
            one.ask(f"large-{number}", lines=MAX_LINES)
        one.dispatcher.acknowledge((f"done-{number}" for number in range(MAX_ACKNOWLEDGED + 1)), at_once=False)
        await trio.sleep(4)
        assert max(len(request) for request in one.keeper.requests) <= MAX_OPERATIONS
        assert max(one.keeper.lines) <= MAX_BATCH_LINES
        assert one.keeper.lines[1] > MAX_BATCH_LINES - MAX_LINES or len(one.keeper.requests[1]) == MAX_OPERATIONS
        assert [len(names) for names in one.keeper.acknowledged][:3] == [0, MAX_ACKNOWLEDGED, 1]
        assert len(one.answers) == MAX_OPERATIONS + MAX_BATCH_LINES // MAX_LINES + 3


async def test_one_that_is_not_understood_is_its_own_affair(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.keeper.fault = lambda asked: (
            Internal("inventory-request") if any(operation.id == "bad" for operation in asked) else None
        )
        one.ask("first")
        await trio.sleep(0.5)
        for name in ("a", "bad", "b"):
            one.ask(name)
        await trio.sleep(10)
        assert [len(request) for request in one.keeper.requests] == [1, 3, 1, 1, 1]
        assert sorted(one.keeper.requests[1]) == sorted(name for (name,) in one.keeper.requests[2:])
        assert isinstance(one.answers.pop("bad"), Internal)
        assert all(isinstance(answer, Outcome) for answer in one.answers.values())


async def test_nobody_is_asked_for_alone_after_one_that_had_no_answer(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.keeper.fault = lambda asked: Internal("x") if len(asked) > 1 else OutcomeUnknown("inventory-no-answer")
        for name in ("a", "b", "c"):
            one.ask(name)
        await trio.sleep(10)
        together, (alone,) = one.keeper.requests
        assert sorted(together) == ["a", "b", "c"]
        assert isinstance(one.answers.pop(alone), OutcomeUnknown)
        assert [type(answer) for answer in one.answers.values()] == [Unavailable] * 2


@pytest.mark.parametrize("kind", [Unavailable, OutcomeUnknown])
async def test_a_failure_of_the_way_is_everybodys_in_it(kind: type[Error], autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.keeper.fault = lambda _: kind("inventory") if len(one.keeper.requests) == 1 else None
        one.dispatcher.acknowledge(["done"], at_once=False)
        one.ask("a")
        await trio.sleep(0.5)
        one.ask("b")
        await trio.sleep(5)
        assert isinstance(one.answers["a"], kind)
        assert one.answers["b"] == Outcome("b")
        assert one.keeper.acknowledged == [["done"], ["done"]]
        assert one.dispatcher.take_acknowledged() == ["done"]
        assert one.dispatcher.take_acknowledged() == []


async def test_a_request_has_its_time_and_what_waited_too_long_is_not_sent(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        slow = trio.Event()

        async def hang(*_: object, **__: object) -> list[Outcome]:
            slow.set()
            await trio.sleep_forever()
            raise AssertionError

        answering = one.keeper.apply_all
        one.keeper.apply_all = hang  # type: ignore[method-assign]
        one.ask("a")
        await slow.wait()
        one.keeper.apply_all = answering  # type: ignore[method-assign]
        one.ask("early")
        await trio.sleep(6)
        one.ask("late")
        await trio.sleep(10)
        assert isinstance(one.answers["a"], OutcomeUnknown)
        assert isinstance(one.answers["early"], Unavailable)
        assert one.answers["late"] == Outcome("late")
        assert one.keeper.requests == [["late"]]


async def test_a_batch_is_as_old_as_its_oldest_claim(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        now = one.clock.now()
        for name, claimed_at in (("a", now - 1), ("b", now - 3), ("c", now)):
            one.ask(name, claimed_at=claimed_at)
        await trio.sleep(5)
        assert one.keeper.sent_at == [now - 3]


async def test_acknowledgements_travel_alone_only_when_told(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:
        one.dispatcher.acknowledge(["a"], at_once=False)
        await trio.sleep(60)
        assert one.dispatcher.hops == 0
        one.dispatcher.acknowledge(["b"], at_once=True)
        await trio.sleep(2)
        assert (one.keeper.requests, one.keeper.acknowledged) == ([[]], [["a", "b"]])
        one.dispatcher.acknowledge([], at_once=True)
        await trio.sleep(2)
        assert one.dispatcher.hops == 1


async def test_a_full_queue_is_busy(autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordermgmt.order.dispatch.MAX_QUEUE", 2)
    async with desk() as one:
        one.ask("first")
        await trio.sleep(0.5)
        for name in ("a", "b", "c"):
            one.ask(name)
        await trio.sleep(5)
        busy = [name for name, answer in one.answers.items() if isinstance(answer, Unavailable)]
        assert len(busy) == 1


async def test_a_fault_of_the_call_leaves_the_outcome_open(autojump_clock: trio.abc.Clock) -> None:
    async with desk() as one:

        def fail(asked: Sequence[Operation]) -> Error | None:
            if len(one.keeper.requests) == 1:
                raise ZeroDivisionError
            return None

        one.keeper.fault = fail
        one.ask("a")
        await trio.sleep(2)
        one.ask("b")
        await trio.sleep(2)
        assert isinstance(one.answers["a"], OutcomeUnknown)
        assert one.answers["b"] == Outcome("b")
