"""The token service put together: one database, one set of operations, two listeners."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import trio
from hypercorn.typing import ASGIFramework

from ordermgmt.config import StsConfig
from ordermgmt.net.server import serve
from ordermgmt.net.traced import traced
from ordermgmt.runtime import Runtime, ServiceContext
from ordermgmt.security.key_file import open_key_file
from ordermgmt.security.passwords import Passwords
from ordermgmt.security.revocations import sequence_figure
from ordermgmt.storage import Database, Location, OpenDatabase, open_database, storage_figures
from ordermgmt.sts import store
from ordermgmt.sts.accounts import Accounts
from ordermgmt.sts.app import MAX_BODY, create_app
from ordermgmt.sts.authorize import Authorizations
from ordermgmt.sts.browser_app import Portal
from ordermgmt.sts.contract import AUDIENCES, KEY_FILE, METADATA_PATH, OPENID_METADATA_PATH, service_resource
from ordermgmt.sts.demo import install_demo, uninstall_demo
from ordermgmt.sts.key_rotation import Schedule
from ordermgmt.sts.login import Logins
from ordermgmt.sts.logout import Logouts
from ordermgmt.sts.metadata import openid_metadata, server_metadata
from ordermgmt.sts.mint import ID_TOKEN_LIFETIME, Mint
from ordermgmt.sts.operations import TokenService
from ordermgmt.sts.page import origin_of
from ordermgmt.sts.registration import system_clients
from ordermgmt.sts.revocations import RevocationFeed, open_feed
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.signing_key import SigningKeys, open_signing_keys
from ordermgmt.telemetry.metrics import Figure

__all__ = ["open_accounts", "open_keys", "run"]


@asynccontextmanager
async def open_accounts(location: Location, runtime: Runtime) -> AsyncIterator[Accounts]:
    """Open the users and clients at `location`; leaving the block closes it.

    It may be opened while the service runs, too: the command line does. Raises StartError if it cannot be used.
    """
    async with _open_database(location, runtime) as database:
        yield Accounts(database, Passwords(runtime.threads, runtime.entropy), runtime.entropy, runtime.clock)


async def run(context: ServiceContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve both listeners until `context.drain` is set and the requests in flight are answered.

    The database is closed after the last of them. Raises StartError.
    """
    async with _open_database(context.database, context.runtime, shared=context.workers > 1) as database:
        keys = await _open_keys(database, context.runtime, context.config.sts, context.data)
        feed = await open_feed(
            database, context.runtime.entropy, context.config.sts.exchanged_token_lifetime, context.drain
        )
        app, tokens = await _open_app(context, database, keys, feed)
        context.readiness[context.name] = tokens.unready_reason
        context.measured_by(partial(_figures, database, feed))
        async with trio.open_nursery() as background:
            context.nurseries["background"] = background
            await background.start(keys.run, context.bells.signing_keys)
            async with trio.open_nursery() as nursery:
                for setting, listener_tls in (("listen", False), ("mtls_listen", True)):
                    await nursery.start(partial(_serve, context, app, setting, client_certificates=listener_tls))
                task_status.started()
            background.cancel_scope.cancel()


async def _figures(database: OpenDatabase, feed: RevocationFeed) -> Sequence[Figure]:
    return (*storage_figures(database), sequence_figure(await feed.sequence()))


@asynccontextmanager
async def open_keys(
    location: Location, runtime: Runtime, *, config: StsConfig, data: Path
) -> AsyncIterator[SigningKeys]:
    """Open the signing keys in the database at `location`, also while the service runs; leaving the block closes it.

    `data` is the folder in which the key file is, unless `config` names another one. Raises StartError.
    """
    async with _open_database(location, runtime) as database:
        yield await _open_keys(database, runtime, config, data)


def _open_database(
    location: Location, runtime: Runtime, *, shared: bool = False
) -> AbstractAsyncContextManager[OpenDatabase]:
    migrations = files("ordermgmt.sts") / "migrations"
    return open_database(location, migrations, threads=runtime.threads, clock=runtime.clock, shared=shared)


async def _open_keys(database: Database, runtime: Runtime, config: StsConfig, data: Path) -> SigningKeys:
    path = Path(config.key_file) if config.key_file else data / KEY_FILE
    lifetimes = (
        config.access_token_lifetime,
        config.exchanged_token_lifetime,
        config.bound_token_lifetime,
        ID_TOKEN_LIFETIME,
    )
    return await open_signing_keys(
        database,
        lambda make: open_key_file(path, holds="the signing keys", entropy=runtime.entropy, make=make),
        schedule=Schedule.of(config.key_rotation_days, lifetimes),
        algorithm=config.signing_algorithm,
        threads=runtime.threads,
    )


async def _open_app(
    context: ServiceContext, database: Database, keys: SigningKeys, feed: RevocationFeed
) -> tuple[ASGIFramework, TokenService]:
    runtime, endpoints = context.runtime, context.endpoints
    if context.demo:
        await install_demo(database, context.data, entropy=runtime.entropy, threads=runtime.threads)
    else:
        await uninstall_demo(database)
    rules, system = _rules(context), system_clients(context.config.suite.trust_domain, endpoints.gateway_url)
    await database.write(lambda transaction: store.put_system_clients(transaction, system.values()))
    mint = Mint(lambda: keys.current, runtime.entropy)
    tokens = TokenService(database, mint, rules, system, runtime.clock)
    sessions = Sessions(database, rules, runtime.entropy, runtime.clock)
    passwords = Passwords(runtime.threads, runtime.entropy)
    portal = Portal(
        origin_of(endpoints.issuer),
        Authorizations(database, rules, system, runtime.entropy, runtime.clock),
        sessions,
        Logins(database, sessions, passwords, runtime.entropy, runtime.clock),
        Logouts(database, mint, rules, system),
    )
    urls = endpoints.issuer, endpoints.sts_mtls_url
    documents = {
        METADATA_PATH: lambda: server_metadata(*urls),
        OPENID_METADATA_PATH: lambda: openid_metadata(*urls, keys.current.algorithms),
    }
    app = create_app(
        tokens, portal, keys, documents, feed=feed, callers=context.callers, guide_jwks=_guide_jwks(context)
    )
    return app, tokens


def _rules(context: ServiceContext) -> Rules:
    config, domain = context.config.sts, context.config.suite.trust_domain
    public = {context.endpoints.gateway_url: "gateway", context.endpoints.order_url: "order"}
    services = {service_resource(domain, one.name): one.name for one in AUDIENCES.values() if not one.exchanged}
    return Rules(
        issuer=context.endpoints.issuer,
        access_token_lifetime=config.access_token_lifetime,
        exchanged_token_lifetime=config.exchanged_token_lifetime,
        bound_token_lifetime=config.bound_token_lifetime,
        authorization_code_lifetime=config.authorization_code_lifetime,
        authorization_request_lifetime=config.authorization_request_lifetime,
        refresh_token_idle_lifetime=config.refresh_token_idle_lifetime,
        refresh_token_lifetime=config.refresh_token_lifetime,
        refresh_token_grace=config.refresh_token_grace,
        session_idle_lifetime=config.session_idle_lifetime,
        session_lifetime=config.session_lifetime,
        resources=public | services,
    )


async def _serve(
    context: ServiceContext,
    app: ASGIFramework,
    setting: str,
    *,
    client_certificates: bool,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve one listener. Only the one that asks for certificates has peers."""
    begin = context.tracer.serve if client_certificates else context.tracer.serve_public
    await serve(
        traced(context.measured(app, public=not client_certificates), begin),
        context.bindings[setting].open_listener(),
        drain=context.drain,
        tls=context.listener_tls(client_certificates=client_certificates),
        identify=context.identify if client_certificates else None,
        limits=replace(context.limits, max_body=MAX_BODY),
        drain_timeout=context.drain_timeout,
        task_status=task_status,
    )


def _guide_jwks(context: ServiceContext) -> Mapping[str, Any] | None:
    """Return the key set of the guide's tokens for the replay profile. Their private key is public knowledge."""
    if not context.guide:
        return None
    document: Mapping[str, Any] = json.loads((files("ordermgmt.sts") / "guide_jwks.json").read_bytes())
    return document
