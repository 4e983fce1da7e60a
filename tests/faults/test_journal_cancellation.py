"""Whoever hangs up ends their own wait: at every point of it the change is either not begun, or goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.unit.order_setup import ADMIN, ALICE, Replica, create, shop, update

POINTS = 12


async def hang_up_after(one: Replica, verb: str, steps: int) -> bool:
    """Ask for a change, and hang up after so many steps of the loop. Tells whether it was answered before."""
    answered = False

    async def ask() -> None:
        nonlocal answered
        if verb == "create":
            await one.orders.create(create("2", qty=2), ALICE, "k")
        elif verb == "update":
            await one.orders.update("1", update(qty=3), ADMIN, None, "k")
        else:
            await one.orders.cancel("1", ADMIN, None, "k")
        answered = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return answered


@pytest.mark.parametrize("verb", ["create", "update", "cancel"])
async def test_every_point_of_the_wait(verb: str, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    outcomes = []
    for steps in range(POINTS):
        folder = tmp_path / str(steps)
        folder.mkdir()
        async with shop(folder) as one:
            await one.orders.create(create("1", qty=1), ALICE)
            answered = await hang_up_after(one, verb, steps)
            await trio.sleep(1)
            begun = len(await one.states()) == 2
            held = [await one.held("1"), await one.held("2")]
            after = {"create": [1, 2], "update": [3, None], "cancel": [None, None]}[verb]
            assert held == (after if begun else [1, None])
            assert await one.stock.qty() == 10 - sum(qty or 0 for qty in held)
            assert set(await one.states()) == {"applied"}
            outcomes.append((begun, answered))
    # Not begun at first; then begun, but not answered; answered in the end.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {(False, False), (True, False), (True, True)}
