"""A change is written down, asked, and applied; every outcome is decided once."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.inventory.contract import Goods
from tests.unit.order_setup import (
    ADMIN,
    ALICE,
    BOOK,
    Gate,
    at_once,
    create,
    request_lost,
    result,
    shop,
    update,
)

UNKNOWN = (504, "outcome-unknown")
IN_PROGRESS = (409, "operation-in-progress")


async def test_the_life_of_an_order(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        first = await one.orders.create(create(qty=2), ALICE)
        assert (await one.held(), await one.stock.qty()) == (2, 8)
        second = await one.orders.update("1", update(qty=5), ADMIN, None)
        assert (await one.held(), await one.stock.qty()) == (5, 5)
        third = await one.orders.cancel("1", ADMIN, f'"{second.version}"')
        assert (await one.held(), await one.stock.qty()) == (None, 10)
        assert first.version < second.version < third.version
        assert await one.states() == ["applied"] * 3
        # One net delta for each, in one request for each.
        lines = [
            [line.qty for line in operation.lines] for batch in one.stock.batches for operation in batch.operations
        ]
        assert lines == [[-2], [-3], [5]]


async def test_a_lone_create_costs_two_commits_one_hop_and_no_waiting(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        for number in range(5):
            at, commits, hops = trio.current_time(), one.database.commits, one.orders.dispatcher.hops
            taken = one.stock.inventory.commits
            await one.orders.create(create(str(number)), ALICE)
            assert one.database.commits - commits == 2
            assert one.orders.dispatcher.hops - hops == 1
            assert one.stock.inventory.commits - taken == 1
            assert trio.current_time() == at


async def test_many_clients_share_commits_and_hops(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    clients, each = 32, 20
    async with shop(tmp_path) as one:
        await one.stock.inventory.stock_up(BOOK, Goods("stock", add=clients * each))
        commits, taken = one.database.commits, one.stock.inventory.commits

        async def buy() -> None:
            for _ in range(each):
                await one.orders.create(create(None), ALICE)

        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(buy)
        creates = clients * each
        assert await one.stock.qty() == 10
        assert one.database.commits - commits < 0.5 * creates
        assert one.orders.dispatcher.hops < 0.25 * creates
        assert one.stock.inventory.commits - taken < 0.25 * creates


async def test_what_moves_nothing_is_applied_with_its_intent(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        await one.orders.create(create(), ALICE)
        commits, hops = one.database.commits, one.orders.dispatcher.hops
        await one.orders.update("1", update(name="Renamed"), ADMIN, None)
        assert (await one.orders.read("1")).name == "Renamed"
        assert (one.database.commits - commits, one.orders.dispatcher.hops - hops) == (1, 0)
        assert [change.action for change in await one.orders.history("1", ALICE, all_orders=False)] == [
            "created",
            "updated",
        ]


async def test_a_pending_create_holds_its_id_and_is_not_shown(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    gate = Gate()
    async with shop(tmp_path) as one, trio.open_nursery() as nursery:
        one.stock.script.append(gate)
        nursery.start_soon(one.orders.create, create(), ALICE)
        await gate.reached.wait()
        assert await one.held() is None
        assert (await one.orders.newest(None, before=None, limit=10)).orders == ()
        assert await result(one.orders.create(create(), ADMIN)) == IN_PROGRESS
        assert await result(one.orders.update("1", update(), ADMIN, None)) == (404, "no-such-order")
        gate.opened.set()
    assert gate.reached.is_set()


@pytest.mark.parametrize("verb", ["update", "cancel"])
async def test_a_pending_change_shows_the_old_order_and_keeps_others_out(
    verb: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    gate = Gate()
    async with shop(tmp_path) as one:
        await one.orders.create(create(qty=2), ALICE)
        async with trio.open_nursery() as nursery:
            one.stock.script.append(gate)
            if verb == "update":
                nursery.start_soon(one.orders.update, "1", update(qty=3), ADMIN, None)
            else:
                nursery.start_soon(one.orders.cancel, "1", ADMIN, None)
            await gate.reached.wait()
            assert await one.held() == 2
            for call in (
                one.orders.update("1", update(qty=4), ADMIN, None),
                one.orders.update("1", update(qty=2, name="Renamed"), ADMIN, None),
                one.orders.cancel("1", ADMIN, None),
            ):
                assert await result(call) == IN_PROGRESS
            assert await result(one.orders.create(create(), ADMIN)) == (409, "order-exists")
            gate.opened.set()
        assert (await one.held(), await one.stock.qty()) == ((3, 7) if verb == "update" else (None, 10))


async def test_a_refusal_closes_the_entry_and_frees_the_order(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        assert await result(one.orders.create(create(qty=11), ALICE)) == (409, "out-of-stock")
        assert await one.states() == ["refused"]
        assert await result(one.orders.create(create(qty=10), ALICE)) == (200, "")
        assert await result(one.orders.update("1", update(qty=11), ADMIN, None)) == (409, "out-of-stock")
        assert (await one.held(), await one.stock.qty()) == (10, 0)


async def test_of_equal_changes_at_once_one_gets_the_slot(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        calls = [one.orders.create(create(), ALICE) for _ in range(4)]
        assert sorted(await at_once(*calls)) == [(200, ""), *[IN_PROGRESS] * 3]
        assert await one.stock.qty() == 9


async def test_two_hundred_buyers_of_the_last_ten(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        results = await at_once(*(one.orders.create(create(None), ALICE) for _ in range(200)))
        assert sorted(results) == [(200, "")] * 10 + [(409, "out-of-stock")] * 190
        assert await one.stock.qty() == 0


async def test_too_many_changes_at_once_are_503(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordermgmt.order.settlement.MAX_RUNNING", 3)
    async with shop(tmp_path) as one:
        results = await at_once(*(one.orders.create(create(None), ALICE) for _ in range(5)))
        assert sorted(results) == [(200, "")] * 3 + [(503, "busy")] * 2
        assert await one.stock.qty() == 7
        assert await result(one.orders.create(create(None), ALICE)) == (200, "")


async def test_a_backlog_that_is_too_long_is_503(
    tmp_path: Path, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordermgmt.order.settlement.MAX_BACKLOG", 2)
    async with shop(tmp_path) as one:
        one.stock.always = request_lost
        assert await at_once(*(one.orders.create(create(None), ALICE) for _ in range(2))) == [UNKNOWN] * 2
        assert await result(one.orders.create(create(None), ALICE)) == (503, "busy")
        assert len(await one.states()) == 2
