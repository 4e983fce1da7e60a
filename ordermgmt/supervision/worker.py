"""A supervised child that is a process of its own: what the child's side of it does.

`ordermgmt.supervision.process` is the other side.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import trio

from ordermgmt.errors import StartError
from ordermgmt.supervision.bells import Bell, Bells
from ordermgmt.supervision.child import is_explained, one_line
from ordermgmt.supervision.control import (
    Channel,
    Check,
    Checked,
    Command,
    Drain,
    Failed,
    Measure,
    Measured,
    Ready,
    Reload,
    Report,
    Start,
    child_end,
)
from ordermgmt.supervision.health import Probes
from ordermgmt.telemetry.logs import get_logger
from ordermgmt.telemetry.metrics import Figure
from ordermgmt.threads import start_daemon

__all__ = ["Work", "work"]

GRACE = 1.0
"""Seconds that an orderly end may take when the supervisor is gone. After that the process ends as it stands."""
CHECK_SECONDS = 1.0
SUPERVISORS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are the supervisor's to understand. They may reach a child, too: from a service manager that signals
every process that it knows."""


class Work(Protocol):
    """What the program does."""

    async def __call__(
        self,
        assignment: bytes,
        drain: trio.Event,
        probes: Probes,
        bells: Bells,
        /,
        *,
        task_status: trio.TaskStatus[Sequence[str]],
    ) -> None:
        """Do what the JSON text `assignment` says, as `Run` does; `started()` tells the addresses that it serves.

        Into `probes` it may put its own, under its name. `bells` are those of the supervisor.
        """
        ...


async def work(name: str, descriptor: int, run: Work) -> bool:
    """Do as the supervisor at the other end of the control channel `descriptor` says; tell whether it went well.

    A failure is told to the supervisor, and logged only if it needs a traceback. When the supervisor is gone,
    everything is cancelled; if that takes longer than `GRACE`, or the loop hangs, the process ends all the same.
    Raises StartError if `descriptor` is no control channel.
    """
    for number in SUPERVISORS:
        signal.signal(number, signal.SIG_IGN)
    sock = _adopt(descriptor)
    start_daemon(partial(_end_when_hung_up, sock.fileno()), "supervisor watch")
    # never closed here: its end tells the supervisor that this process is gone
    channel = child_end(sock)
    start = await channel.receive()
    if not isinstance(start, Start):
        return False
    return await _Worker(name, channel).run(bytes(start.assignment), run)


class _Worker:
    def __init__(self, name: str, channel: Channel[Report, Command]) -> None:
        self._name = name
        self._channel = channel
        self._drain = trio.Event()
        self._probes = Probes()
        self._bells = Bells()

    async def run(self, assignment: bytes, run: Work) -> bool:
        failure: BaseExceptionGroup[Exception] | None = None
        ended = False
        async with trio.open_nursery() as listening:
            listening.start_soon(self._obey, listening)
            try:
                async with trio.open_nursery() as nursery:
                    addresses = await nursery.start(run, assignment, self._drain, self._probes, self._bells)
                    await self._channel.send(Ready(tuple(addresses)))
            except* Exception as group:  # noqa: BLE001 - whatever it raises is a crash of this service
                failure = group
            ended = True
            if failure is not None:
                if not is_explained(failure):
                    get_logger(self._name).error("crashed", reason=one_line(failure), exc_info=failure)
                await self._channel.send(Failed(one_line(failure)))
            listening.cancel_scope.cancel()
        return ended and failure is None

    async def _obey(self, nursery: trio.Nursery) -> None:
        while (command := await self._channel.receive()) is not None:
            match command:
                case Drain():
                    self._drain.set()
                case Reload(name):
                    bell: Bell = getattr(self._bells, name)
                    bell.ring()
                case Check():
                    nursery.start_soon(self._check)
                case Measure():
                    nursery.start_soon(self._measure)
        nursery.cancel_scope.cancel()

    async def _check(self) -> None:
        check = self._probes.checks.get(self._name)
        reason: str | None = f"its readiness check took longer than {CHECK_SECONDS:g} s"
        with trio.move_on_after(CHECK_SECONDS):
            try:
                reason = None if check is None else await check()
            except Exception as error:  # noqa: BLE001 - whatever a check raises is the reason that it did not pass
                reason = f"its readiness check failed: {one_line(error)}"
        await self._channel.send(Checked(reason))

    async def _measure(self) -> None:
        meter = self._probes.meters.get(self._name)
        figures: Sequence[Figure] = ()
        with trio.move_on_after(CHECK_SECONDS):
            try:
                figures = () if meter is None else await meter()
            except Exception as error:  # noqa: BLE001 - a service goes on without its figures
                get_logger(self._name).error("figures-failed", reason=one_line(error))
        await self._channel.send(Measured(tuple(figures)))


def _adopt(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        msg = "this command is for `run --processes`, which starts it with a control channel"
        raise StartError(msg) from error
    sock.set_inheritable(False)
    return sock


def _end_when_hung_up(descriptor: int) -> None:
    """Wait, in a thread, until the other end is closed; a loop that hangs would not see it."""
    poll = select.poll()
    poll.register(descriptor, 0)
    poll.poll()
    time.sleep(GRACE)
    os._exit(1)
