"""A change is written down, asked, and applied; every outcome is decided once."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import Batch, Goods, Outcome
from tests.unit.order_setup import (
    ADMIN,
    ALICE,
    BOOK,
    Gate,
    Stock,
    answer_lost,
    at_once,
    create,
    not_understood,
    request_lost,
    result,
    shop,
    silent,
    unreachable,
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


async def test_what_surely_never_left_is_closed_before_503_is_said(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(unreachable)
        assert await result(one.orders.create(create(), ALICE)) == (503, "inventory-unreachable")
        assert await one.states() == ["abandoned"]
        assert await result(one.orders.create(create(), ALICE)) == (200, "")
        assert await one.stock.qty() == 9


async def test_no_503_without_the_close_on_disk(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:

        async def break_disk(stock: Stock, batch: Batch) -> list[Outcome]:
            one.database.failures.append(Unavailable("storage-unavailable"))
            return await unreachable(stock, batch)

        one.stock.script.append(break_disk)
        one.stock.always = request_lost
        at = trio.current_time()
        assert await result(one.orders.create(create(), ALICE)) == UNKNOWN
        assert trio.current_time() - at == 15
        assert await one.states() == ["pending"]


@pytest.mark.parametrize(("fault", "applied_by"), [(request_lost, 2), (answer_lost, 1)])
async def test_what_may_have_left_is_asked_again_until_there_is_an_answer(
    fault: object, applied_by: int, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script += [fault, unreachable, request_lost]  # type: ignore[list-item]
        assert await result(one.orders.create(create(), ALICE)) == (200, "")
        assert (await one.held(), await one.stock.qty()) == (1, 9)
        assert one.stock.asked[:4] == [(1, False)] * 4
        assert len({batch.operations[0].id for batch in one.stock.batches[:4]}) == 1
        assert trio.current_time() >= 1 + 2 + 4  # the pauses between


async def test_whoever_waits_no_longer_gets_504_and_the_change_goes_on(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script += [silent, silent]
        at = trio.current_time()
        with pytest.raises(OutcomeUnknown) as unknown:
            await one.orders.create(create(), ALICE)
        assert (unknown.value.code, unknown.value.retry_after) == ("outcome-unknown", 1)
        assert trio.current_time() - at == 15
        assert await result(one.orders.create(create(), ALICE)) == IN_PROGRESS
        await trio.sleep(15)
        assert (await one.held(), await one.stock.qty()) == (1, 9)


async def test_after_a_minute_without_an_answer_it_is_closed_rather_than_done(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.always = request_lost
        assert await result(one.orders.create(create(), ALICE)) == UNKNOWN
        await trio.sleep(70)
        one.stock.always = None
        await trio.sleep(70)
        assert one.stock.asked[0] == (1, False)
        assert (1, True) in one.stock.asked
        assert await one.states() == ["abandoned"]
        assert (await one.held(), await one.stock.qty()) == (None, 10)
        assert await result(one.orders.create(create(), ALICE)) == (200, "")


async def test_what_was_done_before_it_was_given_up_is_done(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(answer_lost)
        one.stock.always = request_lost
        assert await result(one.orders.create(create(), ALICE)) == UNKNOWN
        await trio.sleep(70)
        one.stock.always = None
        await trio.sleep(70)
        assert one.stock.asked[-1][1] or (1, True) in one.stock.asked
        assert (await one.held(), await one.stock.qty()) == (1, 9)


async def test_what_cannot_finish_is_stuck_and_shown_until_it_is_tried_again(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(not_understood)
        at = trio.current_time()
        assert await result(one.orders.create(create(), ALICE)) == UNKNOWN
        assert trio.current_time() == at
        await trio.sleep(30)
        (entry,) = await one.orders.journal.unfinished()
        assert (entry.state, str(entry.reason)) == ("stuck", "inventory-request")
        assert (one.orders.backlog.unfinished, one.orders.backlog.stuck) == (1, 1)
        assert one.orders.backlog.oldest >= 29
        assert await result(one.orders.create(create(), ALICE)) == IN_PROGRESS
        await one.orders.journal.retry(entry.id)
        await trio.sleep(1.01)
        assert (await one.held(), await one.stock.qty()) == (1, 9)
        await trio.sleep(1)
        assert one.orders.backlog.unfinished == 0


async def test_two_changes_of_one_operation_are_told_apart(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(answer_lost)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(result, one.orders.create(create(), ALICE))
            await trio.sleep(0.5)
            # Somebody tampers with the entry: its next copy has other content.
            await one.database.write(
                lambda tx: tx.execute('UPDATE journal SET deltas = \'[["books","978-1617295959",-2]]\'')
            )
        (entry,) = await one.orders.journal.unfinished()
        assert (entry.state, entry.reason and entry.reason.code) == ("stuck", "operation-mismatch")


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


async def test_a_commit_of_the_intent_that_failed_is_504(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        one.database.failures.append(OutcomeUnknown("storage-outcome-unknown"))
        assert await result(one.orders.create(create(), ALICE)) == UNKNOWN
        one.database.failures.append(Unavailable("storage-unavailable"))
        assert await result(one.orders.create(create(), ALICE)) == (503, "storage-unavailable")
        assert one.stock.batches == []


async def test_an_order_that_is_not_as_planned_is_never_overwritten(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    gate = Gate()
    async with shop(tmp_path) as one:
        await one.orders.create(create(qty=2), ALICE)
        async with trio.open_nursery() as nursery:
            one.stock.script.append(gate)
            nursery.start_soon(result, one.orders.update("1", update(qty=3), ADMIN, None))
            await gate.reached.wait()
            await one.database.write(lambda tx: tx.execute("UPDATE orders SET version = 1000"))
            gate.opened.set()
        (entry,) = await one.orders.journal.unfinished()
        assert (entry.state, entry.reason and entry.reason.code) == ("stuck", "operation-failed")
        assert await one.held() == 2
        assert await one.rows("SELECT action FROM changes") == [("created",)]
