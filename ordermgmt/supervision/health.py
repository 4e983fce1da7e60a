"""What every supervised service is doing, as values that anybody may read and wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

import trio

from ordermgmt.telemetry.metrics import Meter

__all__ = ["Board", "Check", "Health", "Probes", "Snapshot", "State", "unready_reason"]


class State(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """One service at one moment.

    `since` is when it came into this state, by Trio's clock. `restarts` counts all of its restarts.
    `error` is one line about its last failure, and stays after a restart that cured it. `pid` is the process that it
    runs in, None while it has none. Where a service has several workers, each is on the board under a name of its own;
    `service` is what it is a worker of.
    """

    state: State
    since: float
    restarts: int = 0
    error: str | None = None
    pid: int | None = None
    service: str = ""


Snapshot = Mapping[str, Health]
"""All services at one moment, by name, in start order. It never changes."""

Check = Callable[[], Awaitable[str | None]]
"""A service's own readiness check: None if it can do its work, otherwise why not. It is cancel-safe."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What services let be asked of them, by name: each puts its own here when it starts, or nothing."""

    checks: dict[str, Check] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)


class Board:
    """The current state of every service. Only the supervisor records; anybody reads.

    Belongs to one Trio loop, in which it must be made. `names` are in start order, and workers of one service follow
    each other; `services` has those whose name is not their service's. `pid` is the process of all that get none of
    their own. Raises ValueError for a name given twice.
    """

    def __init__(
        self, names: Iterable[str], *, services: Mapping[str, str] | None = None, pid: int | None = None
    ) -> None:
        listed = tuple(names)
        now, services = trio.current_time(), services or {}
        self._snapshot: Snapshot = MappingProxyType(
            {name: Health(State.WAITING, now, pid=pid, service=services.get(name, name)) for name in listed}
        )
        if len(self._snapshot) != len(listed):
            msg = f"a service is named twice: {', '.join(listed)}"
            raise ValueError(msg)
        self._changed = trio.Event()

    def snapshot(self) -> Snapshot:
        """Return all services as they are now."""
        return self._snapshot

    async def newer(self, seen: Snapshot) -> Snapshot:
        """Wait until the board is no longer as in `seen`, its own earlier snapshot, and return it as it is then.

        Changes that come faster than the caller reads are seen as one. Cancel-safe.
        """
        if self._snapshot is seen:
            await self._changed.wait()
        else:
            await trio.lowlevel.checkpoint()
        return self._snapshot

    def record(self, name: str, state: State, *, error: str | None = None, restarted: bool = False) -> None:
        """Note that service `name` is now in `state`. Raises KeyError for a name that is not on the board."""
        before = self._snapshot[name]
        after = replace(
            before,
            state=state,
            since=trio.current_time(),
            restarts=before.restarts + restarted,
            error=before.error if error is None else error,
        )
        self._put(name, after)

    def record_process(self, name: str, pid: int | None) -> None:
        """Note that service `name` now runs in process `pid`, or in none. Raises KeyError as `record` does."""
        self._put(name, replace(self._snapshot[name], pid=pid))

    def _put(self, name: str, health: Health) -> None:
        self._snapshot = MappingProxyType({**self._snapshot, name: health})
        self._changed.set()
        self._changed = trio.Event()


async def unready_reason(health: Health, check: Check | None) -> str | None:
    """Tell why a service is not ready, or None if it is: it runs, and its own check passes.

    The check runs only for a service that is running; what it raises is passed on. The caller sets the time limit.
    """
    if health.state is not State.RUNNING:
        return f"{health.state}: {health.error}" if health.error else str(health.state)
    return None if check is None else await check()
