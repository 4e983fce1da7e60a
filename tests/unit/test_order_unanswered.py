"""What becomes of a change without an answer: closed, asked again, given up, or shown to an operator."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ordermgmt.errors import OutcomeUnknown, Unavailable
from ordermgmt.inventory.contract import Batch, Outcome
from tests.unit.order_setup import (
    ADMIN,
    ALICE,
    Gate,
    Stock,
    answer_lost,
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
