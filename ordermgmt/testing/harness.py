"""The whole suite in one loop, on the memory network, under virtual time: real TLS, real HTTP, real SQL."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import trio

from ordermgmt.config import Config, SuiteConfig
from ordermgmt.net import Address, ClientTls, Network
from ordermgmt.net.outbound import HttpClient, Response, open_client
from ordermgmt.pki import files as pki
from ordermgmt.placement import Part, in_this_process
from ordermgmt.runtime import OpenExporter, Runtime
from ordermgmt.security.keys import SigningKey
from ordermgmt.security.tls import PublicTls, client_tls, load_credential
from ordermgmt.storage import Location, locate
from ordermgmt.sts.main import open_keys
from ordermgmt.suite import Suite
from ordermgmt.supervision.child import Run
from ordermgmt.system import select, service_names
from ordermgmt.telemetry.exporting import open_exporter
from ordermgmt.testing.clocks import VirtualClock
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.threads import InlineThreads

__all__ = ["RunningSystem", "default_database", "running_system"]


def default_database(folder: Path) -> str:  # noqa: ARG001 - see below
    """Return `suite.database` for a suite in `folder`. Another function here makes the same tests use PostgreSQL."""
    return ""


class RunningSystem:
    """A running suite and what a test needs of it. Made by `running_system`."""

    def __init__(self, suite: Suite, runtime: Runtime, stop: trio.Event, stack: AsyncExitStack) -> None:
        self.suite = suite
        self.runtime = runtime
        self.stop = stop
        self._stack = stack
        self._clients: dict[tuple[str, str | None], HttpClient] = {}

    @property
    def certs(self) -> Path:
        """The folder of the PKI."""
        return Path(self.suite.config.suite.certs)

    @property
    def data(self) -> Path:
        """The folder of the databases."""
        folder = Path(self.suite.config.suite.data)
        return folder / "guide" if self.suite.guide else folder

    def location(self, service: str) -> Location:
        """Return where a service keeps its data."""
        return locate(self.suite.config.suite, service, self.data, guide=self.suite.guide)

    def address(self, service: str, setting: str = "listen") -> Address:
        """Return where a service listens."""
        return self.suite.addresses[service][setting]

    async def client(self, service: str, *, identity: str | None = None) -> HttpClient:
        """Return a client of `service`, kept for the rest of the run.

        Without an `identity` it is anybody, who knows the CA; with one it presents that service's certificate,
        on the listener that asks for one.
        """
        found = self._clients.get((service, identity))
        if found is None:
            clock = self.runtime.clock
            setting = "mtls_listen" if service == "sts" and identity is not None else "listen"
            tls: ClientTls
            if identity is None:
                tls = PublicTls(self.certs / "ca.pem", clock=clock)
            else:
                credential = load_credential(self.certs, identity, self.suite.config.suite.trust_domain)
                tls = client_tls(credential, expected=service, clock=clock)
            address = self.address(service, setting)._replace(host="localhost")
            found = await self._stack.enter_async_context(open_client(self.runtime.network, [address], tls=tls))
            self._clients[service, identity] = found
        return found

    def forget_clients(self) -> None:
        """Have later requests trust, and present, what the files of certificates hold then."""
        self._clients.clear()

    async def admin_client(self) -> HttpClient:
        """Return a client of the admin listener, open for the rest of the run."""
        address = self.address("admin")
        return await self._stack.enter_async_context(open_client(self.runtime.network, [address], tls=None))

    async def open_stream(self, service: str) -> trio.SSLStream[trio.abc.Stream]:
        """Open a TLS connection to `service` and hand it over as it is; the caller closes it."""
        wire = await self.runtime.network.connect(self.address(service))
        context = PublicTls(self.certs / "ca.pem", clock=self.runtime.clock).context()
        stream = trio.SSLStream(wire, context, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        return stream

    async def request(
        self,
        service: str,
        method: str,
        target: str,
        *,
        token: str | None = None,
        json: object = None,
        headers: Iterable[tuple[str, str]] = (),
        identity: str | None = None,
    ) -> Response:
        """Send one request to `service` and return the answer."""
        client = await self.client(service, identity=identity)
        sent = list(headers)
        if token is not None:
            sent.append(("authorization", f"Bearer {token}"))
        content = b""
        if json is not None:
            sent.append(("content-type", "application/json"))
            content = msgspec.json.encode(json)
        return await client.request(method, target, headers=sent, content=content)

    def secret(self, client_id: str) -> str:
        """Return the secret of a demo client."""
        for line in (self.data / "demo-credentials").read_text().splitlines():
            kind, name, secret = line.split(" ")
            if (kind, name) == ("client", client_id):
                return secret
        raise KeyError(client_id)

    async def token(self, client_id: str, *, resource: str | None = None, scope: str = "", secret: str = "") -> str:
        """Get a token for a client: an opaque one for the gateway, or with a `resource` a JWT for that.

        Without a `secret` it is a demo client.
        """
        credentials = b64encode(f"{client_id}:{secret or self.secret(client_id)}".encode()).decode()
        answer = await self.token_request(
            {"grant_type": "client_credentials", "resource": resource or "", "scope": scope},
            headers=[("authorization", f"Basic {credentials}")],
        )
        if answer.status != 200:
            msg = f"the STS answered {answer.status}: {answer.content.decode()}"
            raise RuntimeError(msg)
        return str(msgspec.json.decode(answer.content)["access_token"])

    async def signing_key(self) -> SigningKey:
        """Return the key that the STS signs with: for tokens that it would never issue."""
        location = self.location("sts")
        async with open_keys(location, self.runtime, config=self.suite.config.sts, data=self.data) as keys:
            return keys.current.signing

    async def order_token(self, client_id: str) -> str:
        """Get a JWT for the order service for a demo client."""
        return await self.token(client_id, resource=self.suite.endpoints.order_url)

    async def bound_token(self, service: str, **parameters: str) -> str:
        """Get a JWT for the inventory service, bound to the certificate of `service`."""
        resource = f"spiffe://{self.suite.config.suite.trust_domain}/inventory"
        answer = await self.token_request(
            {"grant_type": "client_credentials", "client_id": service, "resource": resource, **parameters},
            identity=service,
        )
        if answer.status != 200:
            msg = f"the STS answered {answer.status}: {answer.content.decode()}"
            raise RuntimeError(msg)
        return str(msgspec.json.decode(answer.content)["access_token"])

    async def token_request(
        self,
        parameters: Mapping[str, str],
        *,
        headers: Iterable[tuple[str, str]] = (),
        identity: str | None = None,
    ) -> Response:
        """Send a token request as it is."""
        client = await self.client("sts", identity=identity)
        form = ("content-type", "application/x-www-form-urlencoded")
        content = urlencode(dict(parameters)).encode()
        return await client.request("POST", "/oauth2/token", headers=[form, *headers], content=content)


@asynccontextmanager
async def running_system(  # noqa: PLR0913 - each with a default
    folder: Path,
    *,
    config: Config | None = None,
    services: Sequence[str] = (),
    guide: bool = False,
    seed: int = 0,
    network: Network | None = None,
    skews: Mapping[str, float] | None = None,
    networks: Mapping[str, Network] | None = None,
    prepare: Callable[[Suite], None] = lambda _: None,
    exporters: OpenExporter = open_exporter,
) -> AsyncIterator[RunningSystem]:
    """Run the suite inside the block, from certificates to drain, in `folder`.

    Run it under a MockClock. The block may end the suite itself by setting `stop`; leaving it does so otherwise.
    `skews` are seconds by which the wall clocks of services are wrong, `networks` what they connect through instead of
    `network`. `prepare` sees the suite before it starts, `exporters` take its spans. Nothing is left when it returns,
    and what the suite raises is raised.
    """
    base = config or Config()
    suite_config: SuiteConfig = msgspec.structs.replace(
        base.suite,
        data=str(folder / "var"),
        certs=str(folder / "certs"),
        database=base.suite.database or default_database(folder),
    )
    base = msgspec.structs.replace(base, suite=suite_config)
    clock = VirtualClock()
    entropy = random.Random(seed).randbytes  # noqa: S311 - a run repeats from its seed
    runtime = Runtime(clock, network or MemoryNetwork(), InlineThreads(), entropy, exporters)
    certs = Path(suite_config.certs)
    certs.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    pki.ensure(certs, service_names(), suite_config.names, suite_config.trust_domain, clock.now())
    stop = trio.Event()

    clocks = {name: VirtualClock(skew=skew) for name, skew in (skews or {}).items()}

    def place(part: Part) -> Run:
        name = part.service.name
        reached = (networks or {}).get(name, runtime.network)
        own = replace(runtime, clock=clocks.get(name, clock), network=reached)
        return in_this_process(replace(part, runtime=own))

    async with Suite(base, runtime, select(services), guide=guide, place=place, shared_demo=True) as suite:
        prepare(suite)
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: suite.run(stop, task_status=task_status))
            async with AsyncExitStack() as stack:
                yield RunningSystem(suite, runtime, stop, stack)
            stop.set()
