"""How a service is run: what a row of the table says, what it is assigned, and in which process it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from ordermgmt.config import Config
from ordermgmt.endpoints import reachable, resolve_endpoints
from ordermgmt.net import Address, Binding
from ordermgmt.runtime import Runtime, ServiceContext
from ordermgmt.security.credentials import Credentials
from ordermgmt.security.tls import load_credential
from ordermgmt.supervision.bells import Bells
from ordermgmt.supervision.child import Run
from ordermgmt.supervision.health import Board, Probes
from ordermgmt.telemetry.trace import Tracer

__all__ = [
    "Assignment",
    "Part",
    "Placement",
    "Service",
    "data_folder",
    "in_this_process",
    "run_service",
    "worker_names",
]


class Main(Protocol):
    """A service's entry: `main.run`."""

    async def __call__(self, context: ServiceContext, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the service as `context` says."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """A row of the table.

    `listeners` are the settings that name its addresses. `callers` are the services that may connect to it with
    their certificate, each with the scopes that it may use there. `calls` are the services that it calls itself, each
    with the listeners that it uses: it is told the addresses of no others. `public` are those of its listeners that
    are there for clients beyond the system.
    """

    name: str
    run: Main
    listeners: tuple[str, ...] = ("listen",)
    callers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    public: tuple[str, ...] = ()
    keeps_data: bool = True
    """Whether it has a database."""
    watches: bool = False
    """Whether it asks the supervisors of all services, at their admin listeners, for operators."""


class Assignment(msgspec.Struct, frozen=True):
    """What one service is to do, as plain values: it may be told to another process.

    `addresses` are those of the whole suite, so that all of its services agree where each of them is. `guide` says
    whether the replay profile is on, `demo` whether demo users may exist. The same is done by so many `workers`.
    """

    service: str
    config: Config
    addresses: Mapping[str, Mapping[str, Address]]
    guide: bool
    demo: bool
    workers: int = 1


async def run_service(
    service: Service,
    assignment: Assignment,
    runtime: Runtime,
    bindings: Mapping[str, Binding],
    probes: Probes,
    bells: Bells,
    drain: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Run `service`, to which `assignment` is, in this process on its own `bindings`, until `drain` is set.

    It reads its certificate again at every ring of that bell.
    """
    config, addresses = assignment.config, assignment.addresses
    heard = bells.certificates.rings  # before the files are read: a ring meanwhile is not lost
    suite = config.suite
    credentials = Credentials(partial(load_credential, Path(suite.certs), service.name, suite.trust_domain))
    async with (
        runtime.open_exporter(service.name, config.telemetry, runtime.threads) as exporter,
        trio.open_nursery() as nursery,
    ):
        context = ServiceContext(
            name=service.name,
            config=config,
            runtime=runtime,
            bindings=bindings,
            endpoints=reachable(resolve_endpoints(config, addresses), service.calls, watches=service.watches),
            credentials=credentials,
            callers=service.callers,
            drain=drain,
            data=data_folder(config, guide=assignment.guide),
            tracer=Tracer(runtime.entropy, runtime.clock, exporter, rate=config.telemetry.traces_per_second),
            readiness=probes.checks,
            meters=probes.meters,
            demo=assignment.demo,
            guide=assignment.guide,
            bells=bells,
            workers=assignment.workers,
        )
        nursery.start_soon(credentials.keep_fresh, bells.certificates, heard, runtime.threads)
        await service.run(context, task_status=task_status)
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class Part:
    """One service of a suite, or one of its workers, for whoever decides in which process it runs.

    `name` is what it is called on the board.
    """

    name: str
    service: Service
    assignment: Assignment
    runtime: Runtime
    bindings: Mapping[str, Binding]
    probes: Probes
    board: Board
    bells: Bells


Placement = Callable[[Part], Run]
"""Decides in which process a service runs."""


def worker_names(service: str, workers: int) -> tuple[str, ...]:
    """Return what the workers of a service are called: `order-1` and so on, but one alone as its service."""
    return tuple(f"{service}-{number}" for number in range(1, workers + 1)) if workers > 1 else (service,)


def in_this_process(part: Part) -> Run:
    """Run a service as a task of the supervisor's own loop."""
    return partial(run_service, part.service, part.assignment, part.runtime, part.bindings, part.probes, part.bells)


def data_folder(config: Config, *, guide: bool) -> Path:
    """Return where databases are: the replay profile keeps to a folder of its own."""
    return Path(config.suite.data) / "guide" if guide else Path(config.suite.data)
