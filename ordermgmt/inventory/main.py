"""Composition of the inventory service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files

import trio

from ordermgmt.inventory.app import MAX_BODY, create_app
from ordermgmt.inventory.contract import AUDIENCE, MANAGE_INVENTORY
from ordermgmt.inventory.operations import Inventory
from ordermgmt.net.server import serve
from ordermgmt.net.traced import traced
from ordermgmt.runtime import Runtime, ServiceContext
from ordermgmt.security.guard import Guard, Require
from ordermgmt.security.jwks import KEYS, JwksClient, fetch_over, jwks_meter
from ordermgmt.security.tokens import TrustedIssuer
from ordermgmt.security.verifier import TokenVerifier
from ordermgmt.storage import Location, open_database

__all__ = ["open_inventory", "run"]

ALGORITHMS = ("ES256", "RS256")
"""What the token service may sign with."""
FETCHES = 2
"""Connections for keys: one task fetches, one at a time, and a cancelled fetch may still be closing its own."""


@asynccontextmanager
async def open_inventory(location: Location, runtime: Runtime, *, shared: bool = False) -> AsyncIterator[Inventory]:
    """Open the stock at `location`, with the first stock if there was none; leaving the block closes it.

    It may be opened while the service runs, too: the command line does. `shared` as `open_database` has it. Raises
    StartError if it cannot be used.
    """
    migrations = files("ordermgmt.inventory") / "migrations"
    threads, clock = runtime.threads, runtime.clock
    async with open_database(location, migrations, threads=threads, clock=clock, shared=shared) as database:
        yield Inventory(database)


async def run(  # noqa: ASYNC128 - `serve` says started
    context: ServiceContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until `context.drain` is set and the requests in flight are done. Raises StartError."""
    async with (
        open_inventory(context.database, context.runtime, shared=context.workers > 1) as inventory,
        context.open_client("sts", context.endpoints.sts, KEYS, limit=FETCHES) as sts,
        trio.open_nursery() as nursery,
    ):
        issuer = context.endpoints.issuer
        keys = JwksClient(issuer, fetch_over(sts, context.endpoints.jwks_path), ALGORITHMS)
        await nursery.start(keys.run)
        verifier = TokenVerifier([(TrustedIssuer(issuer, AUDIENCE, ALGORITHMS), keys)], context.runtime.clock)
        default = Require(frozenset({MANAGE_INVENTORY}))
        app = create_app(inventory, Guard(default, verifier.verify, AUDIENCE, callers=context.callers))
        context.readiness[context.name] = inventory.unready
        context.nurseries["background"] = nursery
        context.measured_by(inventory.figures, jwks_meter([keys]), verifier.lookups.figures)
        try:
            await serve(
                traced(context.measured(app), context.tracer.serve),
                context.bindings["listen"].open_listener(),
                drain=context.drain,
                tls=context.listener_tls(client_certificates=True),
                identify=context.identify,
                limits=replace(context.limits, max_body=MAX_BODY),
                drain_timeout=context.drain_timeout,
                task_status=task_status,
            )
        finally:
            del context.readiness[context.name]
        nursery.cancel_scope.cancel()
