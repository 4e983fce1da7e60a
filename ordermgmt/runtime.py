"""What a service is given when it starts: the outside world as seams, and its own place in the system."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path

import trio
from hypercorn.typing import ASGIFramework

from ordermgmt.clock import Clock
from ordermgmt.config import Config, TelemetryConfig
from ordermgmt.ids import Entropy, new_id
from ordermgmt.net import Address, Binding, Network
from ordermgmt.net.limits import Limits
from ordermgmt.net.measured import measured
from ordermgmt.net.outbound import HttpClient, open_suite_client
from ordermgmt.security.credentials import Credentials
from ordermgmt.security.peer import Peer, identify
from ordermgmt.security.tls import client_tls, server_context
from ordermgmt.storage import Location, locate
from ordermgmt.supervision.bells import Bells
from ordermgmt.telemetry.edges import Edges
from ordermgmt.telemetry.exporting import open_exporter
from ordermgmt.telemetry.metrics import Figure, Meter
from ordermgmt.telemetry.trace import Exporter, Tracer
from ordermgmt.threads import Threads

__all__ = ["Endpoints", "OpenExporter", "Runtime", "ServiceContext"]

OpenExporter = Callable[[str, TelemetryConfig, Threads], AbstractAsyncContextManager[Exporter | None]]
"""Opens what takes the spans of a service, by its name; leaving the block closes it. Raises StartError."""

SHARED_LIFETIME = 60.0
"""Seconds of a connection to one of several workers: after a minute, one that was started anew has its share of them.
A busy connection costs both ends about 3 ms for a handshake then, which is 0.005 % of a core."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The outside world. Production has one of these, tests have others; services cannot tell."""

    clock: Clock
    network: Network
    threads: Threads
    entropy: Entropy
    open_exporter: OpenExporter = open_exporter


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services are, as configured or else as bound: base URLs without a trailing slash."""

    issuer: str
    sts_mtls_url: str
    order_url: str
    gateway_url: str
    jwks_path: str
    sts: Sequence[Address]
    sts_mtls: Sequence[Address]
    order: Sequence[Address]
    inventory: Sequence[Address]
    admin: Sequence[Address]


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """All that a service's `main.run` needs.

    `bindings` has an entry for each of the service's listen settings (`listen`, `mtls_listen`); they belong
    to the supervisor and outlive the service. `callers` maps each service that may connect with a client
    certificate to the scopes that it may use. When `drain` is set the service finishes what it has and
    returns. Into `readiness` it puts its own check: what it returns is why it is not ready, or None. `measured_by` says
    what reads its figures, to which those of `edges`, of its certificate and of its `nurseries`, by name, are added.
    `credentials` are kept fresh by whoever made them; `bells` tell what else the running service is asked for.
    `guide` says whether the replay profile is on, `demo` whether demo users may be made. So many `workers`, each a
    process, do the same on the same addresses.
    """

    name: str
    config: Config
    runtime: Runtime
    bindings: Mapping[str, Binding]
    endpoints: Endpoints
    credentials: Credentials
    callers: Mapping[str, frozenset[str]]
    drain: trio.Event
    data: Path
    tracer: Tracer
    readiness: MutableMapping[str, Callable[[], Awaitable[str | None]]] = field(default_factory=dict)
    meters: MutableMapping[str, Meter] = field(default_factory=dict)
    edges: Edges = field(default_factory=Edges)
    nurseries: MutableMapping[str, trio.Nursery] = field(default_factory=dict)
    demo: bool = False
    guide: bool = False
    bells: Bells = field(default_factory=Bells)
    workers: int = 1

    def measured_by(self, *meters: Meter) -> None:
        """Have the service's figures read with these, and with what it has in common with others."""

        async def figures() -> Sequence[Figure]:
            own = [figure for meter in meters for figure in await meter()]
            exporter = self.tracer.exporter
            return [
                *own,
                *self._certificate_figures(),
                *self._nursery_figures(),
                *self.edges.figures(),
                *(exporter.figures() if exporter is not None else ()),
            ]

        self.meters[self.name] = figures

    def _certificate_figures(self) -> Iterator[Figure]:
        """Return how long the certificate in use is good, and the first of its authorities that ends."""
        credential, now = self.credentials.current, self.runtime.clock.now()
        ca = min(authority.not_valid_after_utc for authority in credential.authorities)
        for name, ends in ((credential.name, credential.certificate.not_valid_after_utc), ("ca", ca)):
            yield Figure(
                "ordermgmt_certificate_remaining_seconds",
                "gauge",
                "Time for which a certificate is still good, and the first authority that ends.",
                ends.timestamp() - now,
                {"certificate": name},
                together="lowest",
            )

    def _nursery_figures(self) -> Iterator[Figure]:
        for name, nursery in self.nurseries.items():
            tasks = len(nursery.child_tasks)
            yield Figure(
                "ordermgmt_nursery_tasks",
                "gauge",
                "Tasks in a nursery of the service.",
                tasks,
                {"nursery": name},
                together="sum",
            )

    def measured(self, app: ASGIFramework, *, public: bool = False) -> ASGIFramework:
        """Return `app` with its requests counted, timed and told to the log. See `net.measured`."""
        ids = partial(new_id, self.runtime.entropy)
        return measured(app, self.name, self.edges.answered, ids, public=public)

    def open_client(
        self, service: str, addresses: Sequence[Address], what: str, *, limit: int = 128, patience: float = inf
    ) -> AbstractAsyncContextManager[HttpClient]:
        """Open a client of another service, which presents this one's certificate and demands the other's identity.

        When the certificate changes, requests go over new connections. At most `limit` are under way at once, and the
        others wait for `patience` seconds. They are measured as an edge: `what` is asked of the service.
        """
        clock = self.runtime.clock
        tls = self.credentials.derive(lambda credential: client_tls(credential, expected=service, clock=clock))
        observe = self.edges.to(service, what)
        network = self.runtime.network
        return open_suite_client(
            network, addresses, tls=tls, limit=limit, observe=observe, patience=patience, name=service
        )

    def listener_tls(
        self, *, client_certificates: bool = False, alpn: Sequence[str] = ("http/1.1",)
    ) -> Callable[[], ssl.SSLContext]:
        """Return what gives a listener the context for a new connection: that of the certificate in use."""
        clock = self.runtime.clock
        return self.credentials.derive(
            lambda credential: server_context(
                credential, client_certificates=client_certificates, alpn=alpn, clock=clock
            )
        )

    def identify(self, certificate: bytes | None) -> Peer:
        """Return whom a client's certificate names, by the authorities that are trusted now. Raises PeerRefused."""
        credential = self.credentials.current
        return identify(certificate, credential.authorities, credential.trust_domain, self.runtime.clock.now())

    @property
    def database(self) -> Location:
        """Where this service keeps its data. Raises StartError."""
        return locate(self.config.suite, self.name, self.data, guide=self.guide)

    @property
    def limits(self) -> Limits:
        """The limits of each of the service's listeners."""
        listeners = self.config.listeners
        limits = Limits(
            connections=listeners.connections,
            connections_per_address=listeners.connections_per_address,
            drain_delay=self.config.suite.drain_delay,
        )
        return limits if self.workers == 1 else replace(limits, lifetime=SHARED_LIFETIME)

    @property
    def drain_timeout(self) -> float:
        """Seconds that a service may take to drain: a fifth of the suite's is left for those that drain after it."""
        return self.config.suite.drain * 0.8
