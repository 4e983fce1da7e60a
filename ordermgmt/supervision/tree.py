"""The suite: services started in order, kept running, and drained in reverse order."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ordermgmt.supervision.child import Child, Keeper, ServiceFailed
from ordermgmt.supervision.health import Board, Snapshot
from ordermgmt.supervision.policy import RestartPolicy

__all__ = ["ServiceFailed", "supervise"]


async def supervise(
    children: Sequence[Child],
    *,
    policy: RestartPolicy,
    board: Board,
    stop: trio.Event,
    drain_deadline: float,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run `children`, whose names are on `board`, until `stop` is set and all of them are drained.

    Each starts when the one before it is ready; `task_status.started()` is called when all are, or when `stop`
    came first. One that crashes is restarted alone, by `policy`. On the way out each is drained and awaited
    before the one that started before it; all together have `drain_deadline` seconds, then the rest is cancelled.
    Of several workers of one service the first starts in its service's place, as it may find everything still to be
    made; the others of all services start at once when every service has one. Those of one service drain at once.

    Raises StartError if a child cannot start, and ServiceFailed if one failed too often, failed while it drained
    or had to be cut off: one line each, after everything has ended. If there is more than one reason, the first.
    Cancelling it cuts every child off at once.
    """
    failures: list[Exception] = []
    services = board.snapshot()
    stages: dict[str, list[Keeper]] = {services[child.name].service: [] for child in children}
    running = trio.CancelScope()
    started = False

    def fail(failure: Exception) -> None:
        failures.append(failure)
        running.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when, stop, running)
        with running:
            for together in _turns(children, services):
                keepers = [Keeper(child, policy=policy, board=board, on_failure=fail) for child in together]
                for child, keeper in zip(together, keepers, strict=True):
                    stages[services[child.name].service].append(keeper)
                    nursery.start_soon(keeper.keep, name=f"keeper of {child.name}")
                for keeper in keepers:
                    await keeper.ready.wait()
            task_status.started()
            started = True
            await trio.sleep_forever()
        if not started and not failures:
            task_status.started()
        await _drain(list(stages.values()), drain_deadline)
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _turns(children: Sequence[Child], services: Snapshot) -> list[list[Child]]:
    """Return who starts at once: the first of each service, one by one, then all others."""
    firsts: dict[str, Child] = {}
    for child in children:
        firsts.setdefault(services[child.name].service, child)
    others = [child for child in children if child not in firsts.values()]
    return [*([first] for first in firsts.values()), others]


async def _drain(stages: Sequence[Sequence[Keeper]], seconds: float) -> None:
    with trio.move_on_after(seconds):
        for stage in reversed(stages):
            for keeper in stage:
                keeper.drain()
            for keeper in stage:
                await keeper.ended.wait()
    for stage in reversed(stages):  # the one that is stuck first: it is the reason
        for keeper in stage:
            keeper.cut()
