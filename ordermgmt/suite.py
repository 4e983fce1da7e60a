"""The suite: services of the table under one supervisor, with their addresses and the admin listener."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
import trio

from ordermgmt.admin import assess, create_admin_app
from ordermgmt.config import Config
from ordermgmt.edges import check_certificates, check_edges, trust_edges
from ordermgmt.endpoints import Addresses, configured_address, is_loopback, resolve_endpoints
from ordermgmt.errors import StartError
from ordermgmt.figures import Figures
from ordermgmt.net import Address, Binding, format_address
from ordermgmt.net.limits import Limits
from ordermgmt.net.server import serve
from ordermgmt.operate.recorder import Look, Recorder, Subject
from ordermgmt.placement import Assignment, Part, Placement, Service, data_folder, in_this_process, worker_names
from ordermgmt.renewal import Renewal
from ordermgmt.runtime import Endpoints, Runtime
from ordermgmt.storage import use_folder
from ordermgmt.sts.contract import AUDIENCES
from ordermgmt.sts.registration import system_clients
from ordermgmt.supervision.bells import Bells
from ordermgmt.supervision.child import Child
from ordermgmt.supervision.health import Board, Probes
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.tree import supervise
from ordermgmt.system import EDGES, callers, service_names
from ordermgmt.telemetry.process import LoopWatch

__all__ = ["Suite"]

ADMIN_ADDRESS = Address("127.0.0.1", 9400)
"""Of the admin listener unless configured. A service alone takes one of the next ports."""
ADMIN_LIMITS = Limits(connections=200, connections_per_address=200, max_body=1024)
"""The admin listener is for probes and a few people, and takes no bodies."""


def _admin_address_alone(service: str) -> str:
    """Return where the admin listener is of a service that runs alone: all may share a machine."""
    return format_address(Address(ADMIN_ADDRESS.host, ADMIN_ADDRESS.port + service_names().index(service) + 1))


class Suite:
    """Some services under one supervisor, with their listening addresses; use it as `async with`.

    The addresses are taken when the block is entered and given up when it is left, so that they outlive a
    restart of any service. `board` tells what each service is doing. `place` decides in which process they run; if
    each has one of its own, it may have several `workers`, which share its addresses. `shared_demo` is for tests:
    demo users may then exist in a PostgreSQL database, too.
    """

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        services: Sequence[Service],
        *,
        guide: bool = False,
        place: Placement = in_this_process,
        workers: int = 1,
        shared_demo: bool = False,
    ) -> None:
        self.config = config
        self.services = tuple(services)
        self._workers = {name: service for service in services for name in worker_names(service.name, workers)}
        self._shared_by = workers
        of = {name: service.name for name, service in self._workers.items()}
        self.board = Board(self._workers, services=of, pid=os.getpid())
        self.guide = guide
        self.bells = Bells()
        self._shared_demo = shared_demo
        self._runtime = runtime
        self._place = place
        self._probes = Probes()
        self._loop = LoopWatch()
        self._figures = Figures(self.board, self._probes.meters, self._loop.figures)
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._admin: Binding
        names = [service.name for service in services]
        self._renewal = Renewal(config.suite, names, runtime.clock, runtime.threads, self.bells.certificates)
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        """Check the table and the certificates, and take all addresses.

        Raises StartError naming the first thing that is wrong, and keeps no address then.
        """
        self._check()
        with ExitStack() as stack:
            self._admin = await self._bind("admin.listen", self._admin_address(), stack)
            for service in self.services:
                section = getattr(self.config, service.name)
                self._bindings[service.name] = {
                    key: await self._bind(f"{service.name}.{key}", getattr(section, key), stack)
                    for key in service.listeners
                }
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> Addresses:
        """The addresses as bound, by service and setting; the admin listener's under `admin`."""
        bound = {
            name: {key: binding.address for key, binding in bindings.items()}
            for name, bindings in self._bindings.items()
        }
        return {"admin": {"listen": self._admin.address}, **bound}

    @property
    def endpoints(self) -> Endpoints:
        """Where all services are, those of other processes included."""
        return resolve_endpoints(self.config, self.addresses)

    @property
    def demo(self) -> bool:
        """Whether demo users may exist: where nobody beyond this machine can reach them, nor shares their database."""
        bound = (address for listeners in self.addresses.values() for address in listeners.values())
        return all(map(is_loopback, bound)) and (self._shared_demo or not self.config.suite.database)

    def rotate(self) -> None:
        """Have the running services get new certificates, and a new signing key published. Does not block.

        Where the key of the authority is not on this machine, certificates are read again as somebody put them there.
        """
        self._renewal.rotate()
        self.bells.signing_keys.ring()

    async def run(self, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the services, keep them running until `stop` is set, drain them.

        `started()` means that all of them serve. Raises what `supervise` raises, and StartError.
        """
        folder = use_folder(data_folder(self.config, guide=self.guide))  # also while a service is down
        with folder, self._loop:
            await self._run(stop, task_status)

    async def _run(self, stop: trio.Event, task_status: trio.TaskStatus[None]) -> None:
        children = [Child(name, self._place(self._part(name, service))) for name, service in self._workers.items()]
        ended = trio.Event()
        async with trio.open_nursery() as nursery, trio.open_nursery() as background:
            await background.start(self._renewal.run)
            recorder = Recorder(self._subject(), self._runtime.clock, self._runtime.threads)
            await background.start(recorder.run)
            reports = {"/status": recorder.status, "/history": recorder.history}
            admin_app = create_admin_app(self.board, self._probes, self._figures, reports)
            await nursery.start(
                partial(
                    serve, admin_app, self._admin.open_listener(), drain=ended, limits=ADMIN_LIMITS, drain_timeout=1.0
                )
            )
            try:
                await supervise(
                    children,
                    policy=RestartPolicy(),
                    board=self.board,
                    stop=stop,
                    # each service waits in turn before it drains
                    drain_deadline=self.config.suite.drain + len(self.services) * self.config.suite.drain_delay,
                    task_status=task_status,
                )
            finally:
                ended.set()
                background.cancel_scope.cancel()

    def _check(self) -> None:
        suite = self.config.suite
        check_edges(EDGES, callers(), system_clients(suite.trust_domain), AUDIENCES)
        names = [service.name for service in self.services]
        check_certificates(Path(suite.certs), names, suite.trust_domain, self._runtime.clock.now())

    def _subject(self) -> Subject:
        """Return what the operator's page is to know of this supervisor and its services."""
        addresses = {
            name: {key: format_address(address) for key, address in listeners.items()}
            for name, listeners in self.addresses.items()
        }
        return Subject(
            self.board,
            self._look,
            addresses,
            trust_edges(EDGES, callers()),
            Path(self.config.suite.certs),
            os.getpid(),
        )

    async def _look(self) -> Look:
        figures = await self._figures.read()
        ready = await assess(self.board.snapshot(), self._probes.checks)
        return Look(figures, {name: one.reason for name, one in ready.items()})

    def _part(self, name: str, service: Service) -> Part:
        suite = msgspec.structs.replace(self.config.suite, admin=self._supervisors())
        config = msgspec.structs.replace(self.config, suite=suite)
        assignment = Assignment(service.name, config, self.addresses, self.guide, self.demo, self._shared_by)
        bindings = self._bindings[service.name]
        return Part(name, service, assignment, self._runtime, bindings, self._probes, self.board, self.bells)

    def _admin_address(self) -> str:
        shared = len(self.services) > 1
        default = format_address(ADMIN_ADDRESS) if shared else _admin_address_alone(self.services[0].name)
        return self.config.admin.listen or default

    def _supervisors(self) -> tuple[str, ...]:
        """Return where the admin listeners are: as configured; else this one and those of services that run alone."""
        own = format_address(self._admin.address)
        here = {service.name for service in self.services}
        others = [] if self.config.admin.listen else [name for name in service_names() if name not in here]
        return self.config.suite.admin or (own, *map(_admin_address_alone, others))

    async def _bind(self, setting: str, text: str, stack: ExitStack) -> Binding:
        address = configured_address(setting, text)
        if self.guide and not is_loopback(address):
            msg = f"{setting}: --guide trusts tokens that anybody can mint, so {text} must be on loopback"
            raise StartError(msg)
        try:
            binding = await self._runtime.network.bind(address)
        except StartError as error:
            msg = f"{setting}: {error}"
            raise StartError(msg) from error
        stack.callback(binding.close)
        return binding
