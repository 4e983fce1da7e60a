"""A hold over requests to inventory: none is under way while it lasts, and it cannot last for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from pathlib import Path

import pytest
import trio

from ordermgmt.backups.accounting import accounts
from ordermgmt.errors import StartError
from ordermgmt.inventory.contract import Batch, Outcome
from ordermgmt.order.hold import LONGEST_HOLD, Hold, Hops, open_hops
from ordermgmt.storage import open_snapshot
from ordermgmt.testing.clocks import VirtualClock
from tests.unit.order_setup import ADMIN, ALICE, Replica, Stock, create, opened_stock, replica, result, update

SLACK = 0.01
"""Seconds, virtual ones: a few looks at a lock."""


class Traffic:
    """Requests of two services, one after the other without a pause in between."""

    def __init__(self) -> None:
        self.under_way = 0
        self.done = 0

    async def run(self, hops: Hops) -> None:
        while True:
            async with hops.hop():
                self.under_way += 1
                await trio.sleep(0.05)
                self.under_way -= 1
                self.done += 1


@asynccontextmanager
async def traffic(folder: Path) -> AsyncIterator[tuple[Traffic, Hops]]:
    with ExitStack() as stack:
        one, other, mine = (stack.enter_context(open_hops(folder)) for _ in range(3))
        async with trio.open_nursery() as nursery:
            seen = Traffic()
            nursery.start_soon(seen.run, one)
            await trio.sleep(0.025)  # so that there is never a moment without a request
            nursery.start_soon(seen.run, other)
            await trio.sleep(0.2)
            yield seen, mine
            nursery.cancel_scope.cancel()


async def test_a_hold_begins_between_requests_and_ends_with_them_going_on(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with traffic(tmp_path) as (seen, mine):
        begin = trio.current_time()
        async with mine.hold() as hold:
            assert trio.current_time() - begin <= 0.05 + SLACK
            before = seen.done
            await trio.sleep(0.3)
            assert (seen.under_way, seen.done) == (0, before)
        assert 0.3 <= hold.seconds <= 0.35 + SLACK
        await trio.sleep(0.2)
        assert seen.done - before >= 6


async def test_the_locks_of_one_that_dies_are_free(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with traffic(tmp_path) as (seen, mine):
        with ExitStack() as process:
            dying = process.enter_context(open_hops(tmp_path))
            held = dying.hold()
            await held.__aenter__()
            before = seen.done
            await trio.sleep(0.2)
            assert seen.done == before
            process.close()  # as the kernel does
            await trio.sleep(0.2)
            assert seen.done - before >= 6
            with pytest.raises(OSError, match="Bad file descriptor"):
                await held.__aexit__(None, None, None)
        async with mine.hold():
            assert seen.under_way == 0


async def test_one_that_is_stopped_while_it_holds_stops_nobody_else(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with traffic(tmp_path) as (seen, mine):
        with pytest.raises(StartError, match="more than 1 s"):
            async with mine.hold():
                before = seen.done
                await trio.sleep(LONGEST_HOLD - SLACK)
                assert seen.done == before
                await trio.sleep(10)
                assert seen.done > before
        before = seen.done
        await trio.sleep(0.2)
        assert seen.done - before >= 6


async def test_a_request_that_takes_too_long_ends_the_hold_and_not_itself(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    with open_hops(tmp_path) as service, open_hops(tmp_path) as mine:
        async with service.hop():
            begin = trio.current_time()
            with pytest.raises(StartError, match="more than 1 s; try again"):
                async with mine.hold():
                    pytest.fail("a request is under way")
            assert trio.current_time() - begin <= LONGEST_HOLD + SLACK
        async with service.hop():
            assert trio.current_time() - begin <= LONGEST_HOLD + SLACK


async def test_two_holds_take_turns(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    with open_hops(tmp_path) as one, open_hops(tmp_path) as other:
        order: list[str] = []

        async def hold(hops: Hops, name: str) -> Hold:
            async with hops.hold() as held:
                order.append(f"{name} begins")
                await trio.sleep(0.2)
                order.append(f"{name} ends")
            return held

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, one, "one")
            await trio.sleep(0.1)
            nursery.start_soon(hold, other, "other")
        assert order == ["one begins", "one ends", "other begins", "other ends"]


async def slow(stock: Stock, batch: Batch) -> list[Outcome]:
    await trio.sleep(0.02)
    outcomes = await stock.deliver(batch)
    await trio.sleep(0.02)
    return outcomes


async def keep_changing(one: Replica, name: str) -> None:
    while True:
        await result(one.orders.create(create(name, qty=1), ALICE))
        await result(one.orders.update(name, update(qty=2), ADMIN, None))
        await result(one.orders.cancel(name, ADMIN, None))


async def keep_updating(one: Replica, name: str) -> None:
    await result(one.orders.create(create(name, qty=1), ALICE))
    while True:
        for qty in (2, 1):
            await result(one.orders.update(name, update(qty=qty), ADMIN, None))


@pytest.mark.parametrize("held", [True, False])
async def test_databases_that_are_looked_at_one_after_the_other_agree_only_in_a_hold(
    tmp_path: Path, autojump_clock: trio.abc.Clock, *, held: bool
) -> None:
    clock = VirtualClock()
    verdicts = []
    with open_hops(tmp_path) as service, open_hops(tmp_path) as mine:
        async with (
            opened_stock(tmp_path, clock) as inventory,
            replica(tmp_path, inventory, clock, hop=service.hop) as one,
            trio.open_nursery() as nursery,
        ):
            one.stock.always = slow
            for name in ("a", "b", "c"):
                nursery.start_soon(keep_changing, one, name)
            nursery.start_soon(keep_updating, one, "d")  # the others may all be cancelled at once
            hold: Callable[[], AbstractAsyncContextManager[object]] = mine.hold if held else nullcontext
            for round_ in range(10):
                await trio.sleep(0.3 + 0.007 * round_)
                with ExitStack() as stack:
                    files = (tmp_path / "inventory.sqlite", tmp_path / "order.sqlite")
                    stock, orders = (stack.enter_context(open_snapshot(file, clock)) for file in files)
                    async with hold():
                        stock.pin()
                        await trio.sleep(0.1)
                        orders.pin()
                    found = accounts(orders, stock)
                    verdicts.append(all(account.agrees for account in found))
                    assert any(account.held or account.under_way for account in found) or not held
            nursery.cancel_scope.cancel()
    assert all(verdicts) is held
