"""Two replicas at full speed over real threads, on each engine: whoever wins, stock and orders agree."""

from __future__ import annotations

from random import Random

import trio

from ordermgmt.clock import SystemClock
from ordermgmt.storage import Location
from ordermgmt.threads import WorkerThreads
from tests.unit.order_setup import ADMIN, ALICE, Replica, create, opened_stock, replica, result, update

WORKERS, ROUNDS, IDS = 8, 15, ("1", "2", "3")


async def test_a_rush_on_three_orders(location: Location) -> None:
    seen: set[tuple[int, str]] = set()

    async def work(one: Replica, chance: Random) -> None:
        for _ in range(ROUNDS):
            order_id, qty = chance.choice(IDS), chance.randint(1, 5)
            calls = (
                lambda: one.orders.create(create(order_id, qty), ALICE),  # noqa: B023 - called at once
                lambda: one.orders.update(order_id, update(qty), ADMIN, None),  # noqa: B023
                lambda: one.orders.cancel(order_id, ADMIN, None),  # noqa: B023
            )
            seen.add(await result(chance.choice(calls)()))

    clock, threads = SystemClock(), WorkerThreads()
    with trio.fail_after(50):
        async with (
            opened_stock(location, clock, threads) as inventory,
            replica(location, inventory, clock, seed=1, threads=threads) as one,
            replica(location, inventory, clock, seed=2, threads=threads) as other,
        ):
            async with trio.open_nursery() as nursery:
                for number in range(WORKERS):
                    nursery.start_soon(work, (one, other)[number % 2], Random(number))  # noqa: S311
            assert await one.orders.journal.unfinished() == []
            held = sum([await one.held(order_id) or 0 for order_id in IDS])
            assert await one.stock.qty() == 10 - held
            hops = one.orders.dispatcher.hops + other.orders.dispatcher.hops
            assert 0 < hops <= WORKERS * ROUNDS
    # What could go wrong is one of these; storage may have been busy, nothing may have been unknown.
    assert {code for _, code in seen} <= {
        "", "order-exists", "no-such-order", "out-of-stock", "operation-in-progress", "storage-unavailable",
    }  # fmt: skip
    assert {"", "order-exists", "no-such-order", "operation-in-progress"} <= {code for _, code in seen}
