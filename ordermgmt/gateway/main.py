"""Composition of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from importlib.resources import files

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway.app import create_app
from ordermgmt.gateway.browser import authenticate_session
from ordermgmt.gateway.browsers import open_portal
from ordermgmt.gateway.contract import AUDIENCE
from ordermgmt.gateway.exchanges import Exchange, Exchanged, Exchanges
from ordermgmt.gateway.operations import Access, Forwarder, Upstream
from ordermgmt.gateway.watch import Watch
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import AUDIENCE as INVENTORY
from ordermgmt.inventory.contract import READ_INVENTORY
from ordermgmt.net.outbound import HttpClient, open_suite_client
from ordermgmt.net.server import serve
from ordermgmt.net.traced import traced
from ordermgmt.order.contract import AUDIENCE as ORDER
from ordermgmt.runtime import Runtime, ServiceContext
from ordermgmt.security.guard import Authenticate, Guard, Require
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.revocation_stream import REVOCATIONS, STREAMS, follow
from ordermgmt.security.revocations import Revocations
from ordermgmt.security.revocations import figures as revocation_figures
from ordermgmt.storage import Database, Location, OpenDatabase, open_database, storage_figures, unready_reason
from ordermgmt.sts.bound_client import BoundClients
from ordermgmt.sts.client import StsClient
from ordermgmt.sts.contract import AUDIENCE as STS
from ordermgmt.sts.contract import REVOCATIONS_PATH, is_opaque_token
from ordermgmt.telemetry.metrics import Figure

__all__ = ["open_sessions", "run"]

TURN = 0.5
"""Part of the time of a request that it may wait for its turn, when more come than may be under way at once. So whoever
gets its turn has as long for its answer, and what is given up before was surely not done."""


@asynccontextmanager
async def open_sessions(location: Location, runtime: Runtime) -> AsyncIterator[Database]:
    """Open the database of browsers' sessions, also while the gateway runs; leaving the block closes it.

    Raises StartError if it cannot be used.
    """
    async with _open_database(location, runtime) as database:
        yield database


async def run(context: ServiceContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the public API and the pages until `context.drain` is set and what is in flight is answered."""
    endpoints, clock = context.endpoints, context.runtime.clock
    timeout = context.config.gateway.upstream_timeout
    async with AsyncExitStack() as stack:
        opening = _open_database(context.database, context.runtime, shared=context.workers > 1)
        database = await stack.enter_async_context(opening)
        sts_http = await stack.enter_async_context(context.open_client("sts", endpoints.sts_mtls, "exchange"))
        sts = StsClient(sts_http, context.name)
        orders = context.open_client(ORDER, endpoints.order, "orders", patience=timeout * TURN)
        order_http = await stack.enter_async_context(orders)
        operated = await stack.enter_async_context(context.open_client("sts", endpoints.sts_mtls, "operate"))
        streams = context.open_client("sts", endpoints.sts_mtls, REVOCATIONS, limit=STREAMS)
        inventory = BoundClients(context, INVENTORY, endpoints.inventory, [READ_INVENTORY], what="stock")
        nursery = await stack.enter_async_context(trio.open_nursery())
        context.nurseries["background"] = nursery
        await nursery.start(inventory.run)
        revocations = Revocations(endpoints.issuer)
        await nursery.start(follow, revocations, await stack.enter_async_context(streams), REVOCATIONS_PATH)
        exchanges = Exchanges(_exchange(sts, clock, timeout), revocations=revocations, clock=clock, nursery=nursery)
        to_upstreams = partial(_upstreams, {ORDER: order_http, STS: operated}, inventory)
        forwarder = Forwarder(to_upstreams(exchanges), public_url=endpoints.gateway_url, timeout=timeout)
        portal = await open_portal(context, database, to_upstreams, revocations, nursery)

        async def figures() -> Sequence[Figure]:
            return [
                *storage_figures(database),
                *revocation_figures([revocations]),
                *await portal.sessions.figures(),
                *portal.sign_ins.figures(),
            ]

        context.readiness[context.name] = partial(unready_reason, database)
        context.measured_by(figures, exchanges.lookups.figures, portal.api.lookups.figures)
        guard = Guard(
            Require(), _authenticate(exchanges), AUDIENCE, authenticate_session=partial(authenticate_session, portal)
        )
        watch = await _open_watch(context, inventory, stack)
        app = create_app(forwarder, portal, watch, guard)
        await serve(
            traced(context.measured(app, public=True), context.tracer.serve_public),
            context.bindings["listen"].open_listener(),
            drain=context.drain,
            tls=context.listener_tls(alpn=("h2", "http/1.1")),
            limits=context.limits,
            drain_timeout=context.drain_timeout,
            task_status=task_status,
        )
        nursery.cancel_scope.cancel()


def _open_database(
    location: Location, runtime: Runtime, *, shared: bool = False
) -> AbstractAsyncContextManager[OpenDatabase]:
    migrations = files("ordermgmt.gateway") / "migrations"
    return open_database(location, migrations, threads=runtime.threads, clock=runtime.clock, shared=shared)


def _upstreams(clients: Mapping[str, HttpClient], inventory: BoundClients, exchanges: Exchanges) -> dict[str, Upstream]:
    """Return the services behind: `clients` are by audience, with tokens of callers that `exchanges` exchanges."""

    def exchanged(audience: str, http: HttpClient) -> Upstream:
        async def token(subject_token: str | None) -> str | None:
            return None if subject_token is None else (await exchanges.get(subject_token, audience)).token

        return Upstream(audience, lambda: nullcontext(Access(http, token)))

    @contextmanager
    def to_inventory() -> Iterator[Access]:
        with inventory.use() as (http, token):
            # the gateway's own serves all
            yield Access(http, lambda _: token.get())

    found = {audience: exchanged(audience, http) for audience, http in clients.items()}
    return {**found, INVENTORY: Upstream(INVENTORY, to_inventory)}


async def _open_watch(context: ServiceContext, inventory: BoundClients, stack: AsyncExitStack) -> Watch:
    network = context.runtime.network
    supervisors = {
        address: await stack.enter_async_context(open_suite_client(network, [address], tls=None))
        for address in context.endpoints.admin
    }
    return Watch(supervisors, InventoryClient(inventory.use, context.runtime.clock))


def _exchange(sts: StsClient, clock: Clock, timeout: float) -> Exchange:
    async def exchange(subject_token: str, audience: str) -> Exchanged:
        asked_at = clock.now()
        try:
            with trio.fail_after(timeout):
                issued = await sts.exchange(subject_token, audience)
        except trio.TooSlowError as error:
            raise Unavailable("sts-unreachable", "the token service does not answer", retry_after=1) from error
        return Exchanged.read(issued.token, asked_at + issued.expires_in)

    return exchange


def _authenticate(exchanges: Exchanges) -> Authenticate:
    async def authenticate(token: str | None, _: Peer | None) -> Principal:
        if token is None:
            raise Unauthenticated("no-token")
        if not is_opaque_token(token):
            raise Unauthenticated("not-opaque")
        return (await exchanges.get(token, ORDER)).principal

    return authenticate
