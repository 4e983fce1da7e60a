"""Services that do as they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ordermgmt.errors import StartError
from ordermgmt.supervision.child import Child, Run, ServiceFailed
from ordermgmt.supervision.health import Board, State
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.tree import supervise

Journal = list[tuple[float, str]]


"""What happened, and when, in seconds since the start of the test rounded to milliseconds."""


class Suite:
    """Services that write down what they do, under the real supervisor."""

    def __init__(self, names: str, *, policy: RestartPolicy | None = None) -> None:
        self.journal: Journal = []
        self.stop = trio.Event()
        self.policy = policy or RestartPolicy()
        self.board = Board(names.split())
        self.runs: dict[str, Run] = {name: self.service(name) for name in names.split()}
        self.start = trio.current_time()

    def note(self, text: str) -> None:
        self.journal.append((round(trio.current_time() - self.start, 3), text))

    def service(
        self,
        name: str,
        *,
        start: float = 1.0,
        drain: float = 0.5,
        serve: Callable[[trio.Event], Awaitable[object]] = trio.Event.wait,
    ) -> Run:
        """Make a service that starts, serves and drains in so many seconds."""

        async def run(draining: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
            self.note(f"{name} starting")
            try:
                await trio.sleep(start)
                task_status.started()
                self.note(f"{name} ready")
                await serve(draining)
                self.note(f"{name} draining")
                await trio.sleep(drain)
            except trio.Cancelled:
                self.note(f"{name} cancelled")
                raise
            self.note(f"{name} done")

        return run

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await supervise(
            [Child(name, run) for name, run in self.runs.items()],
            policy=self.policy,
            board=self.board,
            stop=self.stop,
            drain_deadline=10,
            task_status=task_status,
        )

    async def run_for(self, seconds: float) -> None:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stop_after, seconds)
            try:
                await self.run()
            except (StartError, ServiceFailed) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def stop_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.stop.set()

    def times(self, text: str) -> list[float]:
        return [time for time, happened in self.journal if happened == text]

    @property
    def states(self) -> list[State]:
        return [health.state for health in self.board.snapshot().values()]


async def crash_after(seconds: float, error: Exception, draining: trio.Event) -> None:
    with trio.move_on_after(seconds):
        await draining.wait()
        return
    raise error
