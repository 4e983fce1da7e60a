"""Waiting for an outcome: told at once where it is settled, and never told what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.unit.order_setup import ALICE, Gate, create, request_lost, result, shop


async def test_who_joins_at_any_moment_is_told_at_once(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with shop(tmp_path) as one:
        for steps in range(30):
            wanted, key = create(None, qty=1) if steps < 10 else create(None, qty=100), str(steps)
            at = trio.current_time()
            results: list[tuple[int, str]] = []

            async def ask(wanted: object = wanted, key: str = key, results: list[tuple[int, str]] = results) -> None:
                results.append(await result(one.orders.create(wanted, ALICE, key)))  # type: ignore[arg-type]

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                for _ in range(steps % 15):
                    await trio.lowlevel.checkpoint()
                nursery.start_soon(ask)
            assert len(set(results)) == 1
            assert trio.current_time() == at
        assert len(await one.states()) == 30


async def test_who_joins_what_was_settled_a_moment_before_is_told_at_once(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.script.append(request_lost)
        with trio.move_on_after(0.5):
            await one.orders.create(create(), ALICE)
        (seen,) = await one.orders.journal.unfinished()
        await trio.sleep(5)
        at = trio.current_time()
        settled = await one.orders._settlement.outcome(seen, patience=15, started=False)
        assert (settled.state, trio.current_time()) == ("applied", at)


async def test_one_who_leaves_takes_nothing_from_those_who_stay(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    gate = Gate()
    async with shop(tmp_path) as one:
        one.stock.script.append(gate)
        leaves = trio.CancelScope()

        async def leave() -> None:
            with leaves:
                await one.orders.create(create(), ALICE, "k")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.orders.create, create(), ALICE, "k")
            await gate.reached.wait()
            nursery.start_soon(leave)
            await trio.sleep(0.1)
            at = trio.current_time()
            leaves.cancel()
            await trio.lowlevel.checkpoint()
            gate.opened.set()
        assert leaves.cancelled_caught
        assert trio.current_time() == at


async def test_a_database_that_cannot_be_read_meanwhile_says_nothing_about_the_change(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.always = request_lost

        async def ask() -> None:
            results.append(await result(one.orders.create(create(), ALICE)))

        results: list[tuple[int, str]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            one.database.unreadable = True
        assert results == [(504, "outcome-unknown")]
        one.database.unreadable, one.stock.always = False, None
        await trio.sleep(20)
        assert await one.held() == 1


@pytest.mark.parametrize("waiters", [1, 3])
async def test_nothing_is_kept_of_those_who_waited(
    waiters: int, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with shop(tmp_path) as one:
        one.stock.always = request_lost
        async with trio.open_nursery() as nursery:
            for _ in range(waiters):
                nursery.start_soon(result, one.orders.create(create(), ALICE, "k"))
        assert one.orders._settlement._listeners == {}
        assert one.orders._settlement._running <= 1  # the next attempt
