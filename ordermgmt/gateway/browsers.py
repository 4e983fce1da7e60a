"""Composition of what browsers see: the provider, the sessions, the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.resources import files
from pathlib import Path

import msgspec
import trio

from ordermgmt.clock import Clock
from ordermgmt.errors import StartError, Unauthenticated
from ordermgmt.gateway import openapi, session_store
from ordermgmt.gateway.browser_sessions import BrowserSessions
from ordermgmt.gateway.contract import API_PREFIX, CALLBACK_PATH, KEY_FILE, OPENAPI_PATH
from ordermgmt.gateway.discovery import location_of
from ordermgmt.gateway.exchanges import Exchange, Exchanged, Exchanges
from ordermgmt.gateway.files import load_files
from ordermgmt.gateway.operations import INVALID_SUBJECT_TOKEN, Forwarder, Upstream
from ordermgmt.gateway.portal import Portal, SessionApi
from ordermgmt.gateway.provider import Client, GrantRefused, Provider
from ordermgmt.gateway.revoked import end_revoked
from ordermgmt.gateway.sessions import Limits
from ordermgmt.gateway.sign_in import SignIns
from ordermgmt.gateway.tokens import Refresher, TokenSafe
from ordermgmt.gateway.trail import Trails
from ordermgmt.net import Address, ClientTls
from ordermgmt.net.outbound import HttpClient, open_client
from ordermgmt.runtime import ServiceContext
from ordermgmt.security.key_file import KeyFile, open_key_file
from ordermgmt.security.revocations import Revocations
from ordermgmt.security.tls import Credential, PublicTls
from ordermgmt.storage import Database
from ordermgmt.telemetry.secrets import Secret

__all__ = ["open_portal"]

HTTPS_PORT = 443


async def open_portal(
    context: ServiceContext,
    database: Database,
    upstreams: Callable[[Exchanges], Mapping[str, Upstream]],
    revocations: Revocations,
    nursery: trio.Nursery,
) -> Portal:
    """Put together what browsers see. Its tasks run in `nursery`. Raises StartError.

    `upstreams` returns the services behind, for the tokens of callers that something exchanges. `revocations` are
    those of the suite's own STS.
    """
    config, runtime, public_url = context.config.gateway, context.runtime, context.endpoints.gateway_url
    limits = Limits(config.session_idle_lifetime, config.session_lifetime, config.login_lifetime)
    safe = TokenSafe(await _open_key_file(context, database))
    provider = Provider(_client(context), _connect(context), runtime.clock)
    await nursery.start(provider.run)
    told = None if config.issuer else revocations  # what the suite's own STS says of its tokens is not about others'
    exchanges = Exchanges(
        _exchange(provider, runtime.clock),
        revocations=told,
        clock=runtime.clock,
        nursery=nursery,
        cache="session_exchanges",
    )
    sessions = BrowserSessions(
        database, provider, safe, Refresher(database, safe, provider, runtime.entropy, nursery), limits
    )
    if told is not None:
        await nursery.start(end_revoked, sessions, told)
    forwarder = Forwarder(upstreams(exchanges), public_url=public_url + API_PREFIX, timeout=config.upstream_timeout)
    return Portal(
        origin=location_of(public_url).origin,
        sessions=sessions,
        sign_ins=SignIns(database, provider, safe, limits, runtime.entropy),
        api=SessionApi(forwarder, sessions, exchanges),
        files=await runtime.threads.run(
            partial(load_files, files("ordermgmt.gateway") / "web", {OPENAPI_PATH: _api_document(context)})
        ),
        trails=Trails(context.config.suite.trust_domain, None if config.issuer else "sts", runtime.clock),
        entropy=runtime.entropy,
    )


def _api_document(context: ServiceContext) -> bytes:
    return msgspec.json.encode(openapi.document(context.endpoints.gateway_url, context.endpoints.issuer))


async def _open_key_file(context: ServiceContext, database: Database) -> KeyFile:
    """Open the key file; it is made only if there is no session that only a lost one would open."""
    config, runtime = context.config.gateway, context.runtime
    path = Path(config.key_file) if config.key_file else context.data / KEY_FILE
    newest = await database.read(session_store.newest_sealed)
    key_file = await runtime.threads.run(
        partial(open_key_file, path, holds="the sessions", entropy=runtime.entropy, make=newest is None)
    )
    if newest is not None:
        try:
            key_file.open(*newest)
        except ValueError as error:
            msg = f"a session in the gateway's database is damaged: {error}"
            raise StartError(msg) from error
    return key_file


def _client(context: ServiceContext) -> Client:
    config, endpoints = context.config.gateway, context.endpoints
    secret = ""
    if config.client_secret_file:
        try:
            secret = Path(config.client_secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"gateway.client_secret_file: cannot read {config.client_secret_file}"
            raise StartError(msg) from error
    if config.issuer:
        try:
            location_of(config.issuer)
        except ValueError as error:
            msg = f"gateway.issuer: {config.issuer!a} is not an https URL"
            raise StartError(msg) from error
        if not secret:
            msg = "gateway.client_secret_file: a provider of somebody else's knows the gateway by a secret"
            raise StartError(msg)
    return Client(
        issuer=config.issuer or endpoints.issuer,
        client_id=config.client_id,
        secret=Secret(secret),
        scopes=config.scopes,
        redirect_uri=endpoints.gateway_url + CALLBACK_PATH,
        post_logout_redirect_uri=f"{endpoints.gateway_url}/",
    )


def _connect(context: ServiceContext) -> Callable[[str], AbstractAsyncContextManager[HttpClient]]:
    """Return what connects to the provider: to the STS where the settings say that it is, by its identity.

    The STS has two listeners, and whichever URL is not the issuer's is the other one's.
    """
    endpoints, runtime = context.endpoints, context.runtime
    ca_file = Path(context.config.gateway.issuer_ca_file or Path(context.config.suite.certs) / "ca.pem")

    def connect(origin: str) -> AbstractAsyncContextManager[HttpClient]:
        if not context.config.gateway.issuer:
            of_issuer = origin == location_of(endpoints.issuer).origin
            return context.open_client("sts", endpoints.sts if of_issuer else endpoints.sts_mtls, "sessions")
        tls = context.credentials.derive(partial(_public_tls, ca_file, runtime.clock))
        return open_client(runtime.network, [_address(origin)], tls=tls)

    return connect


def _public_tls(authorities: Path, clock: Clock, _: Credential) -> ClientTls:
    """Made anew with every credential: the authorities may be the suite's own."""
    return PublicTls(authorities, clock=clock)


def _address(origin: str) -> Address:
    host, _, port = origin.removeprefix("https://").rpartition(":")
    return Address(host.strip("[]"), int(port)) if host and port.isdigit() else Address(port, HTTPS_PORT)


def _exchange(provider: Provider, clock: Clock) -> Exchange:
    async def exchange(subject_token: str, audience: str) -> Exchanged:
        asked_at = clock.now()
        try:
            answer = await (await provider.connected()).exchange(subject_token, audience)
        except GrantRefused as refused:
            raise Unauthenticated(INVALID_SUBJECT_TOKEN, str(refused)) from refused
        return Exchanged.read(answer.access_token, asked_at + (answer.expires_in or 0))

    return exchange
