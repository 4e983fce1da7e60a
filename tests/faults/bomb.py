"""Makes a service of a running suite crash on command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from ordermgmt import system as table
from ordermgmt.runtime import ServiceContext


class Bomb:
    """Stands before a service's `run` and makes it crash on command."""

    def __init__(self, service: table.Service) -> None:
        self.service = service
        self.goes_off = trio.Event()
        self.starts = 0

    async def run(self, context: ServiceContext, *, task_status: trio.TaskStatus[None]) -> None:
        self.starts += 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait)
            await self.service.run(context, task_status=task_status)
            nursery.cancel_scope.cancel()

    async def _wait(self) -> None:
        await self.goes_off.wait()
        self.goes_off = trio.Event()
        msg = "boom"
        raise RuntimeError(msg)


def arm(name: str, monkeypatch: pytest.MonkeyPatch) -> Bomb:
    services: Sequence[table.Service] = table.SERVICES
    bomb = Bomb(next(service for service in services if service.name == name))
    armed = tuple(replace(service, run=bomb.run) if service.name == name else service for service in services)
    monkeypatch.setattr(table, "SERVICES", armed)
    return bomb
