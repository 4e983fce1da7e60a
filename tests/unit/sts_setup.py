"""A token service for tests: the real one on a fresh database, with a clock that stands still, asked over ASGI."""

from __future__ import annotations

import atexit
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import trio
from quart import Response
from werkzeug.datastructures import Headers

from ordermgmt.clock import SystemClock
from ordermgmt.net.app import App
from ordermgmt.security.key_file import open_key_file
from ordermgmt.security.keys import SigningAlgorithm, SigningKey
from ordermgmt.security.passwords import Passwords
from ordermgmt.security.peer import Peer
from ordermgmt.security.principal import Principal
from ordermgmt.security.tokens import TrustedIssuer, verify
from ordermgmt.storage import Database, Location, open_database
from ordermgmt.sts import store
from ordermgmt.sts.app import create_app
from ordermgmt.sts.authorize import Authorizations
from ordermgmt.sts.browser_app import Portal
from ordermgmt.sts.contract import (
    AUDIENCES,
    CLIENT_CREDENTIALS,
    METADATA_PATH,
    OPENID_METADATA_PATH,
    ORDER_SCOPES,
    READ_REVOCATIONS,
    TOKEN_PATH,
    service_resource,
)
from ordermgmt.sts.domain import Authority
from ordermgmt.sts.key_rotation import Schedule
from ordermgmt.sts.login import Logins
from ordermgmt.sts.logout import Logouts
from ordermgmt.sts.metadata import openid_metadata, server_metadata
from ordermgmt.sts.mint import Mint, token_digest
from ordermgmt.sts.operations import TokenService
from ordermgmt.sts.registration import Client, UserDetails, system_clients
from ordermgmt.sts.revocations import RevocationFeed
from ordermgmt.sts.rules import Rules
from ordermgmt.sts.sessions import Sessions
from ordermgmt.sts.signing_key import SigningKeys, open_signing_keys
from ordermgmt.sts.store import StoredUser
from ordermgmt.threads import InlineThreads, Threads

KEYS = Path(mkdtemp(prefix="sts-keys-"))
"""For token services whose data is in no folder."""
atexit.register(shutil.rmtree, KEYS)
NOW = 1_700_000_000
ISSUER = "https://sts.test"
MTLS_URL = "https://mtls.sts.test"
DOMAIN = "td.test"
ORDERS = "https://orders.test"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
OWN = {"grant_type": "client_credentials"}
INVENTORY = f"spiffe://{DOMAIN}/inventory"
FORM = "application/x-www-form-urlencoded"
RULES = Rules(
    issuer=ISSUER,
    access_token_lifetime=3600,
    exchanged_token_lifetime=60,
    bound_token_lifetime=600,
    resources={ORDERS: "order", "https://gateway.test": "gateway"}
    | {service_resource(DOMAIN, name): name for name in AUDIENCES},
)
SECRETS = {name: f"secret-of-{name}" for name in ("admin-app", "alice-app", "bob-app")}
CLIENTS = [
    Client(
        name,
        grants=frozenset({CLIENT_CREDENTIALS}),
        scopes=ORDER_SCOPES if name == "admin-app" else frozenset({"add_order"}),
        targets=frozenset({"order"}),
        default_audience="gateway",
        secret_digest=token_digest(secret),
    )
    for name, secret in SECRETS.items()
]
ALICE = UserDetails("Alice", ("customer",))
USERS = [
    StoredUser("alice", ALICE, frozenset({"add_order", "cancel_order"}), "no digest"),
    StoredUser("bob", UserDetails("Bob"), frozenset({"add_order"}), "no digest"),
    StoredUser("eve", UserDetails("Eve"), frozenset(), "no digest"),
]


class FakeClock:
    time = float(NOW)

    def now(self) -> float:
        return self.time


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Sts:
    app: App
    database: Database
    clock: FakeClock
    key: SigningKey
    mint: Mint
    secrets: Mapping[str, str]
    authorizations: Authorizations
    sessions: Sessions

    async def post(
        self,
        form: Sequence[tuple[str, str]] | Mapping[str, str] | bytes,
        *,
        headers: Sequence[tuple[str, str]] = (),
        peer: Peer | None = None,
        path: str = TOKEN_PATH,
        content_type: str = FORM,
    ) -> Answer:
        pairs = list(form.items()) if isinstance(form, Mapping) else form
        body = pairs if isinstance(pairs, bytes) else urlencode(pairs).encode()
        response = await self.app.test_client().post(
            path,
            data=body,
            headers=Headers([("content-type", content_type), *headers]),
            scope_base={} if peer is None else {"state": {"peer": peer}},
        )
        return await _answer(response)

    async def get(self, path: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        response = await self.app.test_client().get(path, headers=Headers(list(headers)))
        return await _answer(response)

    def basic(self, client: str, secret: str | None = None) -> list[tuple[str, str]]:
        """Return the headers with which a client authenticates."""
        return [basic(client, self.secrets[client] if secret is None else secret)]

    def read(self, token: str, audience: str, thumbprint: str | None = None) -> Principal:
        """Verify a JWT as the service `audience` does."""
        keys = {self.key.kid: self.key.verification_key()}
        return verify(token, keys, TrustedIssuer(ISSUER, audience, ("ES256",)), self.clock.now(), thumbprint)

    async def user_token(self, audience: str = "gateway", lifetime: int = 3600) -> str:
        """Give alice an opaque token, as a login would."""
        now = int(self.clock.now())
        scopes = frozenset({"add_order", "cancel_order"})
        authority = Authority(ISSUER, "alice", scopes, audience, now + lifetime, "alice-app", user=ALICE)
        issued = self.mint.opaque(authority, now)
        await self.database.write(
            lambda transaction: store.save_access_token(transaction, issued.digest, authority, now)
        )
        return issued.response.access_token


async def open_keys(
    database: Database, folder: Path, algorithm: SigningAlgorithm = "ES256", *, days: float = 30
) -> SigningKeys:
    """Open the signing keys of `database`, with a key file in `folder`."""
    return await open_signing_keys(
        database,
        lambda make: open_key_file(folder / "sts-key", holds="keys", entropy=Random(2).randbytes, make=make),  # noqa: S311
        schedule=Schedule.of(days, [600]),
        algorithm=algorithm,
        threads=InlineThreads(),
    )


@asynccontextmanager
async def open_sts(
    folder: Path | Location, *, rules: Rules = RULES, clients: Sequence[Client] = (), threads: Threads | None = None
) -> AsyncIterator[Sts]:
    """Open a token service with a database in `folder`, or the one that is given. Leaving the block closes it."""
    clock = FakeClock()
    threads = threads or InlineThreads()
    entropy = Random(1).randbytes  # noqa: S311 - a test repeats
    migrations = files("ordermgmt.sts") / "migrations"
    location = folder / "sts.sqlite" if isinstance(folder, Path) and not folder.suffix else folder
    async with open_database(location, migrations, threads=threads, clock=SystemClock()) as database:
        keys = await open_keys(database, location.parent if isinstance(location, Path) else KEYS)
        key = keys.current.signing
        await database.write(lambda transaction: store.put_demo(transaction, [*CLIENTS, *clients], USERS, "none"))
        mint = Mint(lambda: keys.current, entropy)
        system = system_clients(DOMAIN)
        await database.write(lambda transaction: store.put_system_clients(transaction, system.values()))
        tokens = TokenService(database, mint, rules, system, clock)
        authorizations = Authorizations(database, rules, system, entropy, clock)
        sessions = Sessions(database, rules, entropy, clock)
        documents = {
            METADATA_PATH: lambda: server_metadata(ISSUER, MTLS_URL),
            OPENID_METADATA_PATH: lambda: openid_metadata(ISSUER, MTLS_URL, keys.current.algorithms),
        }
        logins = Logins(database, sessions, Passwords(threads, entropy), entropy, clock)
        portal = Portal(ISSUER, authorizations, sessions, logins, Logouts(database, mint, rules, system))
        feed = RevocationFeed(database, rules.exchanged_token_lifetime, trio.Event())
        app = create_app(
            tokens,
            portal,
            keys,
            documents,
            feed=feed,
            callers={"order": frozenset({READ_REVOCATIONS})},
            guide_jwks={"keys": []},
        )
        yield Sts(app, database, clock, key, mint, SECRETS, authorizations, sessions)


def exchange_of(token: str, **more: str) -> dict[str, str]:
    """Return the form with which the gateway exchanges `token`."""
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "client_id": "gateway",
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        "audience": "order",
    }
    return form | more


def service(name: str, *, domain: str = DOMAIN, thumbprint: str = "thumb") -> Peer:
    """Return the peer that proved the certificate of a service."""
    return Peer(name, f"spiffe://{domain}/{name}", thumbprint)


def basic(client: str, secret: str) -> tuple[str, str]:
    return "authorization", "Basic " + b64encode(f"{client}:{secret}".encode()).decode()


async def _answer(response: Response) -> Answer:
    body = await response.get_data(as_text=False)
    headers = dict(response.headers.items(lower=True))
    if body and headers.get("content-type", "").startswith("text/html"):
        return Answer(response.status_code, headers, body.decode())
    return Answer(response.status_code, headers, msgspec.json.decode(body) if body else None)
