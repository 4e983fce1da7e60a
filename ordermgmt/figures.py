"""The figures of all services, however many processes each of them has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import count

import trio

from ordermgmt.supervision.child import one_line
from ordermgmt.supervision.health import Board, Health, Snapshot, State
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure, Meter
from ordermgmt.telemetry.sums import Sum

__all__ = ["READ_SECONDS", "SUPERVISOR", "Figures"]

SUPERVISOR = "supervisor"
"""Whose figures those of this process are: in one-process mode it is that of all services."""
READ_SECONDS = 1.0
"""What the reading of one process's figures may take; all are read at once."""


class Figures:
    """Reads them with `meters`, which are by the names on `board`, and adds up those of one service.

    `process` reads the figures of this process.
    """

    def __init__(self, board: Board, meters: Mapping[str, Meter], process: Meter | None = None) -> None:
        self._board = board
        self._meters = meters
        self._process = process
        self._sums = {health.service: Sum() for health in board.snapshot().values()}
        self._turns = count(1)

    async def read(self) -> dict[str, Sequence[Figure]]:
        """Return the figures of each service; of one that cannot tell its own, those of its life. Cancel-safe."""
        services = self._board.snapshot()
        telling: set[str] = set()
        turn = next(self._turns)

        async def ask(name: str, health: Health) -> None:
            own = await self._ask(name) if health.state is State.RUNNING else None
            if own is not None:
                telling.add(name)
                self._sums[health.service].note(name, health.restarts, turn, own)

        async with trio.open_nursery() as nursery:
            for name, health in services.items():
                nursery.start_soon(ask, name, health)
        own = {} if self._process is None else {SUPERVISOR: await self._process()}
        return own | {
            service: (*_life(_of(service, services), telling), *total.total(telling))
            for service, total in self._sums.items()
        }

    async def _ask(self, name: str) -> Sequence[Figure] | None:
        """Return what a process that runs tells, nothing if nobody is to be asked; None if it does not answer."""
        meter = self._meters.get(name)
        if meter is None:
            return ()
        with trio.move_on_after(READ_SECONDS):
            try:
                return await meter() or None
            except Exception as error:  # noqa: BLE001 - whatever it raises, the others have figures
                get_logger(name).error("figures-failed", reason=one_line(error))
        return None


def _of(service: str, services: Snapshot) -> dict[str, Health]:
    return {name: health for name, health in services.items() if health.service == service}


def _life(processes: Mapping[str, Health], telling: Collection[str]) -> tuple[Figure, ...]:
    up = all(name in telling for name in processes)
    restarts = sum(health.restarts for health in processes.values())
    return (
        Figure("ordermgmt_service_up", "gauge", "Whether the service runs and tells its figures.", up),
        Figure("ordermgmt_service_restarts_total", "counter", "Restarts after a crash.", restarts),
    )
