"""Two of a kind at once: replicas over one database, late answers, lost answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ordermgmt.testing.clocks import VirtualClock
from tests.unit.order_setup import (
    ADMIN,
    ALICE,
    Gate,
    Replica,
    answer_lost,
    at_once,
    create,
    opened_stock,
    replica,
    request_lost,
    result,
    shop,
    unreachable,
    update,
)

IN_PROGRESS = (409, "operation-in-progress")


@asynccontextmanager
async def two_replicas(folder: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    clock = VirtualClock()
    async with (
        opened_stock(folder, clock) as inventory,
        replica(folder, inventory, clock, seed=1) as one,
        replica(folder, inventory, clock, seed=2) as other,
    ):
        yield one, other


async def test_two_updates_of_one_version(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with two_replicas(tmp_path) as (one, other):
        first = await one.orders.create(create(qty=1), ALICE)
        tag = f'"{first.version}"'
        gate = Gate()
        one.stock.script.append(gate)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.orders.update, "1", update(qty=3), ADMIN, tag)
            await gate.reached.wait()
            assert await result(other.orders.update("1", update(qty=5), ADMIN, tag)) == IN_PROGRESS
            gate.opened.set()
        assert await result(other.orders.update("1", update(qty=5), ADMIN, tag)) == (412, "version-mismatch")
        assert await result(other.orders.update("1", update(qty=5), ADMIN, None)) == (200, "")
        assert (await one.held(), await one.stock.qty()) == (5, 5)


async def test_two_updates_in_the_same_moment(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with two_replicas(tmp_path) as (one, other):
        await one.orders.create(create(qty=1), ALICE)
        for _ in range(10):
            calls = [
                one.orders.update("1", update(qty=3), ADMIN, None),
                other.orders.update("1", update(2), ADMIN, None),
            ]
            statuses = {status for status, _ in await at_once(*calls)}
            assert statuses <= {200, 409}
            held = await one.held()
            assert held in (2, 3)
            assert await one.stock.qty() == 10 - held


async def test_an_answer_lost_in_an_update_and_then_a_cancel(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(qty=2), ALICE)
        one.stock.script.append(answer_lost)
        one.stock.always = request_lost
        assert await result(one.orders.update("1", update(qty=6), ADMIN, None)) == (504, "outcome-unknown")
        assert (await one.held(), await one.stock.qty()) == (2, 4)  # inventory is ahead: nobody may build on it
        assert await result(one.orders.cancel("1", ADMIN, None)) == IN_PROGRESS
        one.stock.always = None
        await trio.sleep(20)
        assert (await one.held(), await one.stock.qty()) == (6, 4)
        assert await result(one.orders.cancel("1", ADMIN, None)) == (200, "")
        assert (await one.held(), await one.stock.qty()) == (None, 10)


async def test_a_late_answer_of_a_create_whose_order_was_cancelled(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """The first replica's answer is on its way for so long that the second one has done it and undone it."""
    async with two_replicas(tmp_path) as (one, other):
        gate = Gate(before=False)
        one.orders.stop_recovery()
        one.stock.script.append(gate)
        late: list[tuple[int, str]] = []

        async def ask() -> None:
            late.append(await result(one.orders.create(create(qty=4), ALICE)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await gate.reached.wait()
            await one.database.write(lambda tx: tx.execute("UPDATE journal SET lease_until = 0"))
            await trio.sleep(2)  # the second one takes the entry up and has the first answer
            assert (await other.held(), await other.stock.qty()) == (4, 6)
            assert await result(other.orders.cancel("1", ADMIN, None)) == (200, "")
            assert (await other.held(), await other.stock.qty()) == (None, 10)
            gate.opened.set()
        assert late == [(200, "")]  # it was created, once; and it stays cancelled
        assert (await one.held(), await one.stock.qty()) == (None, 10)
        assert await one.states() == ["applied", "applied"]
        history = await one.rows("SELECT action FROM changes ORDER BY version")
        assert history == [("created",), ("cancelled",)]


async def test_who_lost_the_lease_cannot_close_what_another_has_sent(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """That nothing has left is true of the first attempt only as long as nobody makes a second."""
    async with two_replicas(tmp_path) as (one, other):
        gate = Gate()

        async def late_failure(stock: object, batch: object) -> list[object]:
            gate.reached.set()
            await gate.opened.wait()
            return await unreachable(one.stock, one.stock.batches[0])  # type: ignore[return-value]

        one.orders.stop_recovery()
        one.stock.script.append(late_failure)  # type: ignore[arg-type]
        other.stock.script.append(answer_lost)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(result, one.orders.create(create(qty=4), ALICE))
            await gate.reached.wait()
            await one.database.write(lambda tx: tx.execute("UPDATE journal SET lease_until = 0"))
            await trio.sleep(1.5)
            assert len(other.stock.batches) + len(one.stock.batches) == 2
            gate.opened.set()
            await trio.sleep(0.1)
            assert await one.states() == ["pending"]
        assert (await one.held(), await one.stock.qty()) == (4, 6)


async def test_entries_of_a_crashed_replica_are_taken_up_by_one_other(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    clock = VirtualClock()
    async with opened_stock(tmp_path, clock) as inventory:
        async with replica(tmp_path, inventory, clock, seed=1) as crashed:
            gate = Gate()
            crashed.stock.always = gate
            for number in range(5):
                crashed.nursery.start_soon(result, crashed.orders.create(create(str(number)), ALICE))
            await gate.reached.wait()
            await trio.sleep(0.1)
            crashed.crash()
        async with (
            replica(tmp_path, inventory, clock, seed=2) as one,
            replica(tmp_path, inventory, clock, seed=3) as other,
        ):
            await trio.sleep(14)
            assert await one.states() == ["pending"] * 5  # the lease is not over yet
            await trio.sleep(3)
            assert await one.states() == ["applied"] * 5
            sent = [
                operation.id for each in (one, other) for batch in each.stock.batches for operation in batch.operations
            ]
            assert len(sent) == len(set(sent)) == 5
            assert await one.stock.qty() == 5


async def test_a_caller_elsewhere_learns_what_a_second_replica_made_of_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with two_replicas(tmp_path) as (one, other):
        one.stock.always = request_lost
        one.orders.stop_recovery()
        at = trio.current_time()
        assert await result(one.orders.create(create(), ALICE)) == (200, "")
        assert trio.current_time() - at < 5
        assert len(other.stock.batches) == 1


async def test_what_is_applied_is_acknowledged_once_and_forgotten_in_time(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with two_replicas(tmp_path) as (one, other):
        await one.orders.create(create("1"), ALICE)
        await one.orders.create(create("2"), ALICE)
        assert [len(batch.acknowledged) for batch in one.stock.batches] == [0, 1]  # it rode along
        await trio.sleep(5)
        told = [name for each in (one, other) for batch in each.stock.batches for name in batch.acknowledged]
        assert len(set(told)) == 2
        assert await one.rows("SELECT acknowledged FROM journal") == [(1,), (1,)]
        hops = one.orders.dispatcher.hops + other.orders.dispatcher.hops
        await trio.sleep(700)
        assert one.orders.dispatcher.hops + other.orders.dispatcher.hops == hops
        await one.orders.create(create("3"), ALICE)
        assert await one.rows("SELECT order_id FROM journal") == [("3",)]
