"""Composition of the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import Unauthenticated, Unavailable
from ordermgmt.gateway.app import create_app
from ordermgmt.gateway.contract import AUDIENCE
from ordermgmt.gateway.exchanges import Exchange, Exchanged, Exchanges
from ordermgmt.gateway.operations import Access, Forwarder, Upstream
from ordermgmt.inventory.contract import AUDIENCE as INVENTORY
from ordermgmt.inventory.contract import READ_INVENTORY
from ordermgmt.net.server import serve
from ordermgmt.order.contract import AUDIENCE as ORDER
from ordermgmt.runtime import ServiceContext
from ordermgmt.security import tokens
from ordermgmt.security.claims import read_ids
from ordermgmt.security.guard import Authenticate, Guard, Require
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.revocation_stream import follow
from ordermgmt.security.revocations import Revocations, figures
from ordermgmt.sts.bound_client import BoundClients
from ordermgmt.sts.client import StsClient
from ordermgmt.sts.contract import REVOCATIONS_PATH, is_opaque_token
from ordermgmt.telemetry.metrics import Figure

__all__ = ["run"]


async def run(context: ServiceContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the public API until `context.drain` is set and what is in flight is answered."""
    endpoints, clock = context.endpoints, context.runtime.clock
    timeout = context.config.gateway.upstream_timeout
    async with AsyncExitStack() as stack:
        sts_http = await stack.enter_async_context(context.open_client("sts", endpoints.sts_mtls))
        sts = StsClient(sts_http, context.name)
        order_http = await stack.enter_async_context(context.open_client(ORDER, endpoints.order))
        inventory = BoundClients(context, INVENTORY, endpoints.inventory, [READ_INVENTORY])
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(inventory.run)
        revocations = Revocations(endpoints.issuer)
        await nursery.start(follow, revocations, sts_http, REVOCATIONS_PATH)
        context.meters[context.name] = partial(_figures, revocations)
        exchanges = Exchanges(_exchange(sts, clock, timeout), revocations=revocations, clock=clock, nursery=nursery)

        async def order_token(subject_token: str | None) -> str | None:
            return None if subject_token is None else (await exchanges.get(subject_token, ORDER)).token

        @contextmanager
        def to_order() -> Iterator[Access]:
            yield Access(order_http, order_token)

        @contextmanager
        def to_inventory() -> Iterator[Access]:
            with inventory.use() as (http, token):
                # the gateway's own serves all
                yield Access(http, lambda _: token.get())

        upstreams = {ORDER: Upstream(ORDER, to_order), INVENTORY: Upstream(INVENTORY, to_inventory)}
        forwarder = Forwarder(upstreams, public_url=endpoints.gateway_url, timeout=timeout)
        await serve(
            create_app(forwarder, Guard(Require(), _authenticate(exchanges), AUDIENCE)),
            context.bindings["listen"].open_listener(),
            drain=context.drain,
            tls=context.listener_tls(alpn=("h2", "http/1.1")),
            limits=context.limits,
            drain_timeout=context.drain_timeout,
            task_status=task_status,
        )
        nursery.cancel_scope.cancel()


async def _figures(revocations: Revocations) -> Sequence[Figure]:
    return figures([revocations])


def _exchange(sts: StsClient, clock: Clock, timeout: float) -> Exchange:
    async def exchange(subject_token: str, audience: str) -> Exchanged:
        asked_at = clock.now()
        try:
            with trio.fail_after(timeout):
                issued = await sts.exchange(subject_token, audience)
        except trio.TooSlowError as error:
            raise Unavailable("sts-unreachable", "the token service does not answer", retry_after=1) from error
        return Exchanged(
            issued.token, asked_at + issued.expires_in, asked_at, read_ids(tokens.parse(issued.token).payload)
        )

    return exchange


def _authenticate(exchanges: Exchanges) -> Authenticate:
    async def authenticate(token: str | None, _: Peer | None) -> Principal:
        if token is None:
            raise Unauthenticated("no-token")
        if not is_opaque_token(token):
            raise Unauthenticated("not-opaque")
        exchanged = await exchanges.get(token, ORDER)
        # It came from the STS itself over mutual TLS: its signature would prove nothing more.
        claims = tokens.parse(exchanged.token).payload
        return Principal(iss=str(claims["iss"]), sub=str(claims["sub"]), scopes=frozenset())

    return authenticate
