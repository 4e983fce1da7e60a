"""The order service crashes in the middle of a change: afterwards it is done or not done, never in between."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import Operation, Outcome
from ordermgmt.net.outbound import Interrupted, Unreachable
from ordermgmt.supervision.health import State
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.faults.bomb import Bomb, arm

BOOK = "/inventory/books/978-1617295959"
Send = Callable[[], Awaitable[list[Outcome]]]


def body(qty: int, **others: Any) -> dict[str, Any]:
    return {"name": "One", "items": [{"category": "books", "code": "978-1617295959", "qty": qty}], **others}


CHANGES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/order", body(4, id="1")),
    ("PUT", "/order/1", body(7)),
    ("DELETE", "/order/1", None),
]


class CrashPoint:
    """Makes the next request to inventory meet a crash of the order service, at one of three points."""

    def __init__(self, bomb: Bomb, point: str) -> None:
        self.bomb = bomb
        self.point = point
        self.armed = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        apply_all = InventoryClient.apply_all

        async def crashing(
            client: InventoryClient, operations: Sequence[Operation], acknowledged: Sequence[str] = (), **options: Any
        ) -> list[Outcome]:
            async def send() -> list[Outcome]:
                return await apply_all(client, operations, acknowledged, **options)

            if not (self.armed and operations):
                return await send()
            self.armed = False
            await self._crash(send)
            raise AssertionError

        monkeypatch.setattr(InventoryClient, "apply_all", crashing)

    async def _crash(self, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            if self.point == "after the request":
                nursery.start_soon(send)
                for _ in range(12):
                    await trio.lowlevel.checkpoint()
            elif self.point == "after the answer":
                await send()
            self.bomb.goes_off.set()
            await trio.sleep_forever()


async def ask(system: RunningSystem, token: str, change: tuple[str, str, dict[str, Any] | None]) -> int | None:
    """Ask for a change; None if there was no answer."""
    method, target, content = change
    try:
        return (await system.request("order", method, target, token=token, json=content)).status
    except (Interrupted, Unreachable):
        return None


async def settle(system: RunningSystem) -> None:
    """Wait until the service runs again and the lease of its former life is over."""
    with trio.fail_after(60):
        seen = system.suite.board.snapshot()
        while seen["order"].state is not State.RUNNING:
            seen = await system.suite.board.newer(seen)
    await trio.sleep(300)  # over the window of the restart policy, too


async def held(system: RunningSystem) -> int | None:
    answer = await system.request("order", "GET", "/order/1")
    return int(json.loads(answer.content)["items"][0]["qty"]) if answer.status == 200 else None


async def check(system: RunningSystem, token: str) -> int | None:
    """Return what the order holds; what is missing from stock must be just that, and nothing may be open."""
    holds = await held(system)
    answer = await system.request("gateway", "GET", BOOK)
    assert json.loads(answer.content)["qty"] == 10 - (holds or 0)
    journal = await system.request("order", "GET", "/journal", token=token)
    assert json.loads(journal.content) == {"operations": []}
    return holds


@pytest.mark.parametrize("point", ["before the request", "after the request", "after the answer"])
async def test_a_change_survives_a_crash(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm("order", monkeypatch)
    crash = CrashPoint(bomb, point)
    crash.install(monkeypatch)
    async with running_system(tmp_path) as system:
        token = await system.order_token("admin-app")
        for change, after in zip(CHANGES, (4, 7, None), strict=True):
            starts, crash.armed = bomb.starts, True
            assert await ask(system, token, change) is None
            await settle(system)
            assert bomb.starts == starts + 1
            token = await system.order_token("admin-app")
            assert await check(system, token) == after


@pytest.mark.slow
async def test_a_crash_at_any_step_of_a_create(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm("order", monkeypatch)
    ends: list[tuple[int | None, int | None]] = []
    async with running_system(tmp_path) as system:
        for steps in range(0, 48, 3):
            token = await system.order_token("admin-app")
            statuses: list[int | None] = []

            async def create(token: str = token, statuses: list[int | None] = statuses) -> None:
                statuses.append(await ask(system, token, CHANGES[0]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(create)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                bomb.goes_off.set()
            await settle(system)
            token = await system.order_token("admin-app")
            holds = await check(system, token)
            ends.append((statuses[0], holds))
            assert holds == 4 or (statuses, holds) == ([None], None)
            if holds is not None:
                assert await ask(system, token, CHANGES[2]) == 200
                await check(system, token)
    assert {holds for _, holds in ends} == {4, None}
    assert (None, 4) in ends
