"""Any history of changes, faults, crashes and late copies at two replicas: orders and stock agree all along."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from trio.testing import MockClock

from ordermgmt.testing.clocks import VirtualClock
from tests.faults.depth import folder_in_memory, sized
from tests.faults.histories import Step, histories
from tests.faults.journal_world import World
from tests.faults.ledger import Observer
from tests.unit.order_setup import opened_stock


async def play(history: list[Step], met: set[str]) -> None:
    """Let a history happen, and see what it comes to."""
    with folder_in_memory() as folder:
        async with opened_stock(folder, VirtualClock()) as inventory, trio.open_nursery() as nursery:
            world = World(folder, inventory, nursery)
            await nursery.start(world.live, 0)
            await nursery.start(world.live, 1)
            world.observer = Observer(folder / "order.sqlite", folder / "inventory.sqlite")
            try:
                for step in history:
                    await world.take(step)
                await world.settle()
            finally:
                world.observer.close()
            met |= world.met
            nursery.cancel_scope.cancel()


MET = {
    "create 200", "update 200", "cancel 200", "create 0",
    "order-exists", "no-such-order", "out-of-stock", "operation-in-progress", "idempotency-key-reused",
    "outcome-unknown", "version-mismatch",
    "a copy arrived", "frozen answer", "frozen request", "lost answer", "late request", "silent",
    "applied", "refused", "abandoned",
}  # fmt: skip
"""What the histories of every run come across."""


def test_any_history_keeps_orders_and_stock_in_agreement(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--database") != "sqlite":
        pytest.skip("it looks into the files")
    met: set[str] = set()

    @sized(pytestconfig, examples=150)
    @given(histories)
    def check(history: list[Step]) -> None:
        trio.run(play, history, met, clock=MockClock(autojump_threshold=0))

    check()
    assert sorted(MET - met) == []
