"""Composition of the order service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import StartError
from ordermgmt.inventory.client import InventoryClient
from ordermgmt.inventory.contract import AUDIENCE as INVENTORY
from ordermgmt.inventory.contract import CHANGE_INVENTORY
from ordermgmt.net import ClientTls
from ordermgmt.net.outbound import HttpClient, open_client
from ordermgmt.net.server import serve
from ordermgmt.net.traced import traced
from ordermgmt.order.app import create_app
from ordermgmt.order.contract import ADD_ORDER, AUDIENCE, CANCEL_ORDER, UPDATE_ORDER
from ordermgmt.order.hold import open_hops
from ordermgmt.order.operations import Journal, Orders
from ordermgmt.runtime import Runtime, ServiceContext
from ordermgmt.security.guard import Guard, Require
from ordermgmt.security.issuers import read_issuers
from ordermgmt.security.jwks import KEYS, JwksClient, fetch_over, jwks_meter
from ordermgmt.security.revocation_stream import REVOCATIONS, STREAMS, follow
from ordermgmt.security.revocations import Revocations, figures
from ordermgmt.security.tls import Credential, PublicTls
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import TokenVerifier
from ordermgmt.storage import Location, OpenDatabase, open_database
from ordermgmt.sts.bound_client import BoundClients
from ordermgmt.sts.contract import GUIDE_JWKS_PATH, ORDER_SCOPES, REVOCATIONS_PATH
from ordermgmt.telemetry.metrics import Figure

__all__ = ["open_journal", "run"]

STS_ALGORITHMS = ("ES256", "RS256")
"""What the STS signs with, whichever it is configured to: a key still has only one of them."""
GUIDE_SCOPES = (ADD_ORDER, UPDATE_ORDER, CANCEL_ORDER)


@asynccontextmanager
async def open_journal(location: Location, runtime: Runtime) -> AsyncIterator[Journal]:
    """Open the journal in the order service's database, also while the service runs; leaving the block closes it.

    Raises StartError if it cannot be used.
    """
    async with _open_database(location, runtime) as database:
        yield Journal(database)


def _open_database(
    location: Location, runtime: Runtime, *, shared: bool = False
) -> AbstractAsyncContextManager[OpenDatabase]:
    migrations = files("ordermgmt.order") / "migrations"
    return open_database(location, migrations, threads=runtime.threads, clock=runtime.clock, shared=shared)


async def run(context: ServiceContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve orders until `context.drain` is set and what is in flight is answered."""
    endpoints, runtime = context.endpoints, context.runtime
    async with AsyncExitStack() as stack:
        opening = _open_database(context.database, runtime, shared=context.workers > 1)
        database = await stack.enter_async_context(opening)
        # Only a file is backed up from beside the suite.
        hop = stack.enter_context(open_hops(context.data)).hop if isinstance(context.database, Path) else nullcontext
        sts_http = await stack.enter_async_context(context.open_client("sts", endpoints.sts, KEYS))
        trusted = await _trusted_issuers(context, sts_http, stack)
        inventory = BoundClients(context, INVENTORY, endpoints.inventory, [CHANGE_INVENTORY], what="stock")
        background = await stack.enter_async_context(trio.open_nursery())
        context.nurseries["background"] = background
        await background.start(inventory.run)
        for issuer in trusted:
            await background.start(issuer.keys.run)
        followed = await _follow(trusted, background)
        verifier = TokenVerifier(
            [(issuer.trust, issuer.keys) for issuer in trusted],
            runtime.clock,
            {revocations.issuer: revocations for revocations in followed},
        )
        async with trio.open_nursery() as changes:
            context.nurseries["changes"] = changes
            orders = Orders(
                database,
                InventoryClient(inventory.use, runtime.clock),
                clock=runtime.clock,
                entropy=runtime.entropy,
                nursery=changes,
                timeout=context.config.order.inventory_timeout,
                patience=context.config.order.patience,
                hop=hop,
            )
            context.readiness[context.name] = orders.unready_reason
            keys = jwks_meter(issuer.keys for issuer in trusted)
            context.measured_by(partial(_figures, orders, followed), keys, verifier.lookups.figures)
            await background.start(orders.run)
            app = create_app(orders, Guard(Require(), verifier.verify, AUDIENCE), public_url=endpoints.order_url)
            # Programs come here with tokens of other issuers: they do not decide what is recorded.
            begin = context.tracer.serve_public if context.config.order.issuers else context.tracer.serve
            await serve(
                traced(context.measured(app), begin),
                context.bindings["listen"].open_listener(),
                drain=context.drain,
                tls=context.listener_tls(),
                limits=context.limits,
                drain_timeout=context.drain_timeout,
                task_status=task_status,
            )
            orders.stop_recovery()
        background.cancel_scope.cancel()


async def _figures(orders: Orders, followed: Sequence[Revocations]) -> Sequence[Figure]:
    return (*await orders.figures(), *figures(followed))


class _Trusted(NamedTuple):
    """An issuer, its keys, and its stream of revocations if it has one: over which client, and where."""

    trust: TrustedIssuer
    keys: JwksClient
    stream: tuple[HttpClient, str] | None


async def _follow(trusted: Sequence[_Trusted], nursery: trio.Nursery) -> list[Revocations]:
    """Follow all streams at once; return when there is news of each, or its time for that is over."""
    followed = []
    async with trio.open_nursery() as starting:
        for issuer in trusted:
            if issuer.stream is not None:
                revocations = Revocations(issuer.trust.issuer)
                followed.append(revocations)
                starting.start_soon(nursery.start, follow, revocations, *issuer.stream)
    return followed


def own_issuer(issuer: str) -> TrustedIssuer:
    """Return what tokens of the suite's STS look like."""
    return TrustedIssuer(issuer, AUDIENCE, STS_ALGORITHMS)


def guide_issuer() -> TrustedIssuer:
    """Return what the guide's published tokens look like. Anybody can mint them: they give three scopes at most."""
    scopes = {scope: scope for scope in GUIDE_SCOPES}
    return TrustedIssuer("wso2", "ballerina", ("RS256",), token_types=("JWT",), scopes=scopes)


def _public_tls(authorities: Path, clock: Clock, _: Credential) -> ClientTls:
    """Made anew with every credential: the authorities may be the suite's own."""
    return PublicTls(authorities, clock=clock)


async def _trusted_issuers(context: ServiceContext, sts: HttpClient, stack: AsyncExitStack) -> list[_Trusted]:
    """Return the issuers that are trusted, each with its own keys: the STS, the guide's, the configured ones."""
    endpoints, settings, runtime = context.endpoints, context.config.order, context.runtime
    known = {endpoints.issuer: "the suite's own STS"}
    found = []
    if settings.trust_sts:
        streams = context.open_client("sts", endpoints.sts_mtls, REVOCATIONS, limit=STREAMS)
        stream = (await stack.enter_async_context(streams), REVOCATIONS_PATH)
        found.append(_trusted(own_issuer(endpoints.issuer), sts, endpoints.jwks_path, stream))
    if context.guide:
        known[guide_issuer().issuer] = "the guide's issuer"
        found.append(_trusted(guide_issuer(), sts, GUIDE_JWKS_PATH))
    foreign = read_issuers(
        settings.issuers,
        "order.issuers",
        known=known,
        scopes=ORDER_SCOPES,
        default_ca_file=Path(context.config.suite.certs) / "ca.pem",
    )
    for issuer in foreign:
        tls = context.credentials.derive(partial(_public_tls, issuer.ca_file, runtime.clock))
        at = issuer.keys.address
        keys = open_client(runtime.network, [at], tls=tls, observe=context.edges.to(at.host, KEYS))
        http = await stack.enter_async_context(keys)
        foreign_stream = None
        if issuer.revocations is not None:
            address, target = issuer.revocations
            observe = context.edges.to(address.host, REVOCATIONS)
            client = open_client(runtime.network, [address], tls=tls, limit=STREAMS, observe=observe)
            foreign_stream = (await stack.enter_async_context(client), target)
        found.append(_trusted(issuer.trust, http, issuer.keys.target, foreign_stream))
    if not found:
        msg = "order.trust_sts: it is false and order.issuers is empty, so that nobody could order"
        raise StartError(msg)
    return found


def _trusted(
    trust: TrustedIssuer, http: HttpClient, jwks_target: str, stream: tuple[HttpClient, str] | None = None
) -> _Trusted:
    return _Trusted(trust, JwksClient(trust.issuer, fetch_over(http, jwks_target), trust.algorithms), stream)
