"""Any history of batches, copies that come late, goods and time: stock follows a simple model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ordermgmt.errors import Conflict
from ordermgmt.inventory.contract import MAX_AGE, MAX_STOCK, Batch, Goods, Operation, Outcome
from ordermgmt.inventory.domain import FORGET_AFTER, Key
from ordermgmt.inventory.operations import Inventory
from ordermgmt.storage.sqlite import SqliteDatabase
from tests.unit.inventory_setup import FIRST_STOCK, HandClock, code, opened, summary, take

BEAR = Key("toys", "bear")
KEYS = [*FIRST_STOCK, BEAR]
deltas = st.dictionaries(
    st.sampled_from([*KEYS, Key("books", "none")]), st.integers(-40, 20).filter(bool), min_size=1, max_size=3
)
operations = st.builds(
    lambda number, deltas, abandon: take(f"o{number}", *deltas.items(), abandon=abandon),
    st.integers(0, 40),
    deltas,
    st.sampled_from([False, False, False, True]),
)
skews = st.sampled_from([-MAX_AGE, 0.0, MAX_AGE])
"""How far the sender's clock is ahead: as far as it may be."""


@dataclass
class Open:
    """Stock that is open for as long as one example runs."""

    inventory: Inventory
    database: SqliteDatabase
    clock: HandClock
    close: trio.Event = field(default_factory=trio.Event)
    closed: trio.Event = field(default_factory=trio.Event)


async def keep_open(*, task_status: trio.TaskStatus[Open]) -> None:
    clock = HandClock()
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), clock) as (inventory, database):
            now_open = Open(inventory, database, clock)
            task_status.started(now_open)
            await now_open.close.wait()
    now_open.closed.set()


@dataclass
class Decided:
    """What the model knows of an operation: what it asks for, what it came to, and whether it may be sent again."""

    operation: Operation
    answer: tuple[object, ...]
    dated: bool
    acknowledged: bool = False


class History(RuleBasedStateMachine):
    """A sender that keeps its promise: what it has acknowledged it sends no more. Copies of the past may still come."""

    nursery: ClassVar[trio.Nursery]
    met: ClassVar[set[str | None]]
    """What operations came to, and `forgotten` if one was, in all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.open: Open = trio.from_thread.run(self.nursery.start, keep_open)
        self.decided: dict[str, Decided] = {}
        self.sent: list[Batch] = []
        self.qty = dict(FIRST_STOCK)
        self.adjusted = dict(FIRST_STOCK)
        self.goods: dict[str, tuple[Key, Goods, tuple[object, ...]]] = {}

    def teardown(self) -> None:
        trio.from_thread.run_sync(self.open.close.set)
        trio.from_thread.run(self.open.closed.wait)

    def _apply(self, batch: Batch) -> list[Outcome]:
        outcomes: list[Outcome] = trio.from_thread.run(self.open.inventory.apply, batch)
        return outcomes

    def _check(self, operation: Operation, outcome: Outcome, *, dated: bool) -> None:
        self.met.add(code(outcome))
        asked = {Key(line.category, line.code): line.qty for line in operation.lines}
        known = self.decided.get(operation.id)
        if known is not None:
            same = {Key(line.category, line.code): line.qty for line in known.operation.lines} == asked
            assert summary(outcome) == known.answer if same else code(outcome) == "operation-mismatch"
            return
        self.decided[operation.id] = Decided(operation, summary(outcome), dated)
        if operation.abandon:
            assert code(outcome) == "operation-abandoned"
        elif not asked.keys() <= self.qty.keys():
            assert code(outcome) == "unknown-item"
        elif any(self.qty[key] + delta < 0 for key, delta in asked.items()):
            assert code(outcome) == "out-of-stock"
        elif any(self.qty[key] + delta > MAX_STOCK for key, delta in asked.items()):
            assert code(outcome) == "stock-limit"
        else:
            assert code(outcome) is None
            self.qty |= {key: self.qty[key] + delta for key, delta in asked.items()}

    @rule(data=st.data(), wanted=st.lists(operations, max_size=3), skew=skews)
    def send(self, data: st.DataObject, wanted: list[Operation], skew: float) -> None:
        open_ones = [one.operation for one in self.decided.values() if not one.acknowledged]
        done: list[Operation] = []
        if open_ones:
            again = data.draw(st.lists(st.sampled_from(open_ones), max_size=2))
            wanted += [Operation(one.id, one.lines, data.draw(st.booleans())) for one in again]
            done = data.draw(st.lists(st.sampled_from(open_ones), max_size=3))
        acknowledged = {operation.id for operation in done}
        final = acknowledged | {operation_id for operation_id, one in self.decided.items() if one.acknowledged}
        unique = {operation.id: operation for operation in wanted if operation.id not in final}
        batch = Batch(self.open.clock.time + skew, tuple(unique.values()), tuple(sorted(acknowledged)))
        for operation, outcome in zip(batch.operations, self._apply(batch), strict=True):
            self._check(operation, outcome, dated=True)
        for operation_id in acknowledged:
            self.decided[operation_id].acknowledged = True
        self.sent.append(batch)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def copy_arrives_late(self, data: st.DataObject) -> None:
        fresh = [batch for batch in self.sent if self.open.clock.time - batch.sent_at <= MAX_AGE]
        batch = data.draw(st.sampled_from(fresh or self.sent))
        if self.open.clock.time - batch.sent_at > MAX_AGE:
            with pytest.raises(Conflict, match="stale-batch"):
                self._apply(batch)
            return
        for operation, outcome in zip(batch.operations, self._apply(batch), strict=True):
            self._check(operation, outcome, dated=True)

    @rule(
        wanted=st.lists(operations, min_size=1, max_size=3, unique_by=lambda operation: operation.id),
        age=st.sampled_from([MAX_AGE + 1, -MAX_AGE - 1, 10**6]),
    )
    def send_what_is_stale(self, wanted: list[Operation], age: float) -> None:
        with pytest.raises(Conflict, match="stale-batch"):
            self._apply(Batch(self.open.clock.time - age, tuple(wanted), tuple(self.decided)))

    @rule(number=st.integers(100, 105), deltas=deltas)
    def move_without_a_date(self, number: int, deltas: dict[Key, int]) -> None:
        operation = take(f"o{number}", *deltas.items())
        outcome: Outcome = trio.from_thread.run(self.open.inventory.move, operation)
        self._check(operation, outcome, dated=False)

    @rule(number=st.integers(0, 5), key=st.sampled_from(KEYS), add=st.sampled_from([0, 1, 30, MAX_STOCK]))
    def add_goods(self, number: int, key: Key, add: int) -> None:
        goods = Goods(f"g{number}", add, "Bear", "9.90")
        outcome: Outcome = trio.from_thread.run(self.open.inventory.stock_up, key, goods)
        if goods.operation in self.goods:
            first_key, first, answer = self.goods[goods.operation]
            same = (first_key, first) == (key, goods)
            assert summary(outcome) == answer if same else code(outcome) == "operation-mismatch"
            return
        self.goods[goods.operation] = key, goods, summary(outcome)
        fits = self.qty.get(key, 0) + add <= MAX_STOCK
        assert code(outcome) == (None if fits else "stock-limit")
        if fits:
            assert outcome.created == (key not in self.qty)
            self.qty[key] = self.qty.get(key, 0) + add
            self.adjusted[key] = self.adjusted.get(key, 0) + add

    @rule(seconds=st.sampled_from([1.0, MAX_AGE - 1, MAX_AGE, FORGET_AFTER + 1]))
    def time_passes(self, seconds: float) -> None:
        self.open.clock.time += seconds

    @invariant()
    def stock_is_what_was_put_in_and_out(self) -> None:
        page = trio.from_thread.run(self.open.inventory.balance)
        assert {Key(item.category, item.code): (item.adjusted, item.qty) for item in page.items} == {
            key: (self.adjusted[key], self.qty[key]) for key in self.qty
        }
        assert all(item.adjusted + item.moved == item.qty for item in page.items)
        assert all(0 <= item.qty <= MAX_STOCK for item in page.items)

    @invariant()
    def only_what_was_acknowledged_is_forgotten(self) -> None:
        kept = {row[0] for row in self.open.database._reader.execute("SELECT id FROM operation")}
        needed = {one.operation.id for one in self.decided.values() if not (one.dated and one.acknowledged)}
        self.met.update(["forgotten"] if self.decided.keys() - kept else [])
        assert needed | self.goods.keys() <= kept <= self.decided.keys() | self.goods.keys()


async def test_any_history_is_that_of_a_simple_model(nursery: trio.Nursery) -> None:
    class Here(History):
        met: ClassVar[set[str | None]] = set()

    Here.nursery = nursery
    size = settings(max_examples=40, stateful_step_count=30, deadline=None)
    await trio.to_thread.run_sync(partial(run_state_machine_as_test, Here, settings=size))
    refusals = {"out-of-stock", "unknown-item", "operation-mismatch", "operation-abandoned"}
    assert refusals | {None, "forgotten"} <= Here.met
