"""The table of services, and the suite that runs it: who there is, who starts first, who may call whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import trio

from ordermgmt.admin import create_admin_app
from ordermgmt.config import Config
from ordermgmt.edges import Edge, check_certificates, check_edges
from ordermgmt.errors import StartError
from ordermgmt.gateway import main as gateway
from ordermgmt.inventory import main as inventory
from ordermgmt.net import Address, Binding, format_address, parse_address
from ordermgmt.net.server import serve
from ordermgmt.order import main as order
from ordermgmt.runtime import Endpoints, Runtime, ServiceContext
from ordermgmt.security.tls import load_credential
from ordermgmt.sts import main as sts
from ordermgmt.sts.contract import AUDIENCES, JWKS_PATH, ORDER_SCOPES
from ordermgmt.sts.registration import system_clients
from ordermgmt.supervision.child import Child
from ordermgmt.supervision.health import Board
from ordermgmt.supervision.policy import RestartPolicy
from ordermgmt.supervision.tree import supervise

__all__ = ["SERVICES", "Service", "Suite", "data_folder", "select", "service_names"]


class Main(Protocol):
    """A service's entry: `main.run`."""

    async def __call__(self, context: ServiceContext, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the service as `context` says."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """A row of the table.

    `listeners` are the settings that name its addresses. `callers` are the services that may connect to it with
    their certificate, each with the scopes that it may use there.
    """

    name: str
    run: Main
    listeners: tuple[str, ...] = ("listen",)
    callers: Mapping[str, frozenset[str]] = field(default_factory=dict)


SERVICES = (
    Service("sts", sts.run, listeners=("listen", "mtls_listen")),
    Service(
        "inventory",
        inventory.run,
        callers={
            "order": frozenset({"read_inventory", "change_inventory"}),
            "gateway": frozenset({"read_inventory"}),
            "operator": frozenset({"read_inventory", "manage_inventory"}),
        },
    ),
    Service("order", order.run),
    Service("gateway", gateway.run),
)
"""In the order in which they start; they drain in reverse."""


EDGES = (
    Edge("order", "inventory", frozenset({"change_inventory"})),
    Edge("gateway", "inventory", frozenset({"read_inventory"})),
    Edge("gateway", "order", ORDER_SCOPES, exchanged=True),
)
"""Who calls whom with which tokens; a start checks that both ends agree."""


def service_names() -> list[str]:
    """Return the names of all services, in start order."""
    return [service.name for service in SERVICES]


def select(names: Sequence[str]) -> list[Service]:
    """Return the named services in start order, all of them if none is named. Raises StartError."""
    unknown = [name for name in names if name not in service_names()]
    if unknown:
        msg = f"there is no service {unknown[0]!r}; there are: {', '.join(service_names())}"
        raise StartError(msg)
    return [service for service in SERVICES if not names or service.name in names]


def data_folder(config: Config, *, guide: bool) -> Path:
    """Return where databases are: the replay profile keeps to a folder of its own."""
    return Path(config.suite.data) / "guide" if guide else Path(config.suite.data)


class Suite:
    """Some services of one process, with their listening addresses; use it as `async with`.

    The addresses are taken when the block is entered and given up when it is left, so that they outlive a
    restart of any service. `board` tells what each service is doing.
    """

    def __init__(self, config: Config, runtime: Runtime, services: Sequence[Service], *, guide: bool = False) -> None:
        self.config = config
        self.services = tuple(services)
        self.board = Board([service.name for service in services])
        self.guide = guide
        self._runtime = runtime
        self._readiness: MutableMapping[str, Callable[[], Awaitable[str | None]]] = {}
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._admin: Binding
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        """Check the table and the certificates, and take all addresses.

        Raises StartError naming the first thing that is wrong, and keeps no address then.
        """
        self._check()
        with ExitStack() as stack:
            self._admin = await self._bind("admin", "listen", stack)
            for service in self.services:
                self._bindings[service.name] = {
                    key: await self._bind(service.name, key, stack) for key in service.listeners
                }
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> Mapping[str, Mapping[str, Address]]:
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
    def on_loopback(self) -> bool:
        """Whether nothing outside of this machine can reach any listener."""
        return all(is_loopback(address) for listeners in self.addresses.values() for address in listeners.values())

    async def run(self, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the services, keep them running until `stop` is set, drain them.

        `started()` means that all of them serve. Raises what `supervise` raises, and StartError.
        """
        data_folder(self.config, guide=self.guide).mkdir(mode=0o700, parents=True, exist_ok=True)
        children = [Child(service.name, partial(self._run_service, service)) for service in self.services]
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            admin_app = create_admin_app(self.board, self._readiness)
            await nursery.start(partial(serve, admin_app, self._admin.open_listener(), drain=ended, drain_timeout=1.0))
            try:
                await supervise(
                    children,
                    policy=RestartPolicy(),
                    board=self.board,
                    stop=stop,
                    drain_deadline=self.config.suite.drain,
                    task_status=task_status,
                )
            finally:
                ended.set()

    def _check(self) -> None:
        suite = self.config.suite
        callers = {service.name: service.callers for service in SERVICES}
        check_edges(EDGES, callers, system_clients(suite.trust_domain), AUDIENCES)
        names = [service.name for service in self.services]
        check_certificates(Path(suite.certs), names, suite.trust_domain, self._runtime.clock.now())

    async def _run_service(self, service: Service, drain: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        suite = self.config.suite
        context = ServiceContext(
            name=service.name,
            config=self.config,
            runtime=self._runtime,
            bindings=self._bindings[service.name],
            endpoints=self.endpoints,
            credential=load_credential(Path(suite.certs), service.name, suite.trust_domain),
            callers=service.callers,
            drain=drain,
            data=data_folder(self.config, guide=self.guide),
            readiness=self._readiness,
            demo=self.on_loopback,
            guide=self.guide,
        )
        await service.run(context, task_status=task_status)

    async def _bind(self, section: str, key: str, stack: ExitStack) -> Binding:
        text: str = getattr(getattr(self.config, section), key)
        address = _address(f"{section}.{key}", text)
        if self.guide and not is_loopback(address):
            msg = f"{section}.{key}: --guide trusts tokens that anybody can mint, so {text} must be on loopback"
            raise StartError(msg)
        try:
            binding = await self._runtime.network.bind(address)
        except StartError as error:
            msg = f"{section}.{key}: {error}"
            raise StartError(msg) from error
        stack.callback(binding.close)
        return binding


def is_loopback(address: Address) -> bool:
    """Tell whether only this machine can reach an address."""
    if address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def resolve_endpoints(config: Config, bound: Mapping[str, Mapping[str, Address]]) -> Endpoints:
    """Work out where every service is: as an edge's setting says, else as bound here, else as configured.

    Raises StartError naming a setting that is not an address.
    """

    def own(section: str, key: str = "listen") -> Address:
        return bound.get(section, {}).get(key) or _address(f"{section}.{key}", getattr(getattr(config, section), key))

    def edge(setting: str, configured: Sequence[str], default: Address) -> tuple[Address, ...]:
        return tuple(_address(setting, text) for text in configured) or (default,)

    def url(configured: str, address: Address) -> str:
        return configured.rstrip("/") or f"https://{format_address(Address('localhost', address.port))}"

    sts_address, sts_mtls_address = own("sts"), own("sts", "mtls_listen")
    order_address, inventory_address, gateway_address = own("order"), own("inventory"), own("gateway")
    return Endpoints(
        issuer=url(config.sts.public_url, sts_address),
        sts_mtls_url=url(config.sts.mtls_public_url, sts_mtls_address),
        order_url=url(config.order.public_url, order_address),
        gateway_url=url(config.gateway.public_url, gateway_address),
        jwks_path=JWKS_PATH,
        sts=edge("suite.sts", config.suite.sts, sts_address),
        sts_mtls=edge("suite.sts_mtls", config.suite.sts_mtls, sts_mtls_address),
        order=edge("suite.order", config.suite.order, order_address),
        inventory=edge("suite.inventory", config.suite.inventory, inventory_address),
    )


def _address(setting: str, text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        msg = f"{setting}: {error}"
        raise StartError(msg) from error
