"""Two processes of the token service over one database: fifty requests with the same grant, spread over both."""

from __future__ import annotations

import json
import ssl
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
import trio

from ordermgmt.clock import SystemClock
from ordermgmt.pki import files as pki
from tests import browser
from tests.postgres_setup import PostgresServer, database
from tests.system.processes import PATIENCE, SuiteProcess, run_module, suite
from tests.system.visiting import CALLBACK, REQUEST, VERIFIER

pytestmark = pytest.mark.slow

MANY = 50
ISSUER = "https://localhost:9445"
"""The public URL of both, whoever hands requests out to them."""
GRANTS = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True)
class Pair:
    """Two running token services, a client, and the password of carol."""

    both: tuple[SuiteProcess, SuiteProcess]
    certs: Path
    secret: str
    password: str


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def engine(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty database; empty for files that both processes open."""
    if request.param == "sqlite":
        yield ""
        return
    with database(postgres) as dsn:
        yield dsn


@contextmanager
def open_pair(folder: Path, dsn: str, **settings: str) -> Iterator[Pair]:
    shared = {
        "ORDERMGMT_SUITE_CERTS": str(folder / "certs"),
        "ORDERMGMT_SUITE_DATA": str(folder / "var"),
        "ORDERMGMT_SUITE_DATABASE": dsn,
        "ORDERMGMT_STS_PUBLIC_URL": ISSUER,
        **settings,
    }
    pki.ensure(folder / "certs", ["gateway"], ["localhost"], "ordermgmt.local", SystemClock().now())
    with ExitStack() as stack:
        started = []
        for name in ("one", "other"):
            (folder / name).mkdir()
            started.append(stack.enter_context(suite(folder / name, "sts", changes=shared)))

        def command(*arguments: str) -> str:
            done = run_module(folder, *arguments, changes=shared)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip().rpartition("\n")[2]

        grants = [option for grant in GRANTS for option in ("--grant", grant)]
        scopes = ("--scope", "openid", "--scope", "add_order")
        secret = command("clients", "add", "shop", *grants, *scopes, "--redirect-uri", CALLBACK, "--target", "order")
        password = command("users", "add", "carol", "--scope", "add_order", "--generate")
        yield Pair((started[0], started[1]), folder / "certs", secret, password)
        assert [one.stop() for one in started] == [0, 0]
        assert not [one.log for one in started if '"level":"error"' in one.log]


@pytest.fixture(scope="module")
def pair(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with open_pair(tmp_path_factory.mktemp("pair"), engine) as opened:
        yield opened


@dataclass
class Clients:
    """An HTTP client for each of the two, with a connection for each request, open before the first is sent."""

    pair: Pair
    both: Sequence[httpx.AsyncClient]

    async def post(self, path: str, form: dict[str, str], *, which: int = 0, secret: bool = True) -> httpx.Response:
        auth = ("shop", self.pair.secret) if secret else None
        return await self.both[which].post(path, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)

    async def token(self, form: dict[str, str], *, which: int = 0, secret: bool = True) -> httpx.Response:
        return await self.post("/oauth2/token", form, which=which, secret=secret)

    async def at_once(self, form: dict[str, str], *, secret: bool = True) -> list[httpx.Response]:
        """Send the same request for a token `MANY` times, every other one to the other process."""
        answers: list[httpx.Response] = []

        async def send(number: int) -> None:
            answers.append(await self.token(form, which=number % 2, secret=secret))

        async with trio.open_nursery() as nursery:
            for number in range(MANY):
                nursery.start_soon(send, number)
        return answers

    async def is_active(self, token: str, which: int = 0) -> bool:
        answer = await self.post("/oauth2/introspect", {"token": token}, which=which)
        return bool(answer.raise_for_status().json()["active"])

    async def refresh(self, token: str) -> httpx.Response:
        return await self.token({"grant_type": "refresh_token", "refresh_token": token}, which=1)


@asynccontextmanager
async def open_clients(pair: Pair, listener: str = "sts", identity: str = "") -> AsyncIterator[Clients]:
    tls = ssl.create_default_context(cafile=pair.certs / "ca.pem")
    if identity:
        tls.load_cert_chain(pair.certs / f"{identity}.pem", pair.certs / f"{identity}.key")
    limits = httpx.Limits(max_connections=MANY, max_keepalive_connections=MANY)

    def client(one: SuiteProcess) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=one.url(listener), verify=tls, limits=limits, timeout=PATIENCE, trust_env=False
        )

    async with client(pair.both[0]) as first, client(pair.both[1]) as second:
        async with trio.open_nursery() as nursery:
            for number in range(MANY):
                nursery.start_soon((first, second)[number % 2].get, "/oauth2/jwks")
        yield Clients(pair, (first, second))


async def log_in(clients: Clients) -> browser.Browser:
    """Log in and consent, once for all codes."""

    async def send(method: str, target: str, headers: browser.Headers, body: bytes) -> browser.Answer:
        answer = await clients.both[0].request(method, target, headers=headers, content=body)
        return browser.Answer(answer.status_code, dict(answer.headers), answer.content)

    opened = browser.Browser(ISSUER, send)
    login = await opened.get(f"/oauth2/authorize?{urlencode(REQUEST)}")
    visit = await opened.submit(login, username="carol", password=clients.pair.password)
    if not visit.url.startswith(CALLBACK):  # the first time
        visit = await opened.submit(visit, decision="allow")
    assert code_of(visit.url)
    return opened


def code_of(url: str) -> str:
    assert url.startswith(CALLBACK)
    return parse_qs(browser.query_of(url))["code"][0]


async def redemption(opened: browser.Browser) -> dict[str, str]:
    visit = await opened.get(f"/oauth2/authorize?{urlencode(REQUEST)}")
    return {
        "grant_type": "authorization_code",
        "code": code_of(visit.url),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


def won(answers: Sequence[httpx.Response]) -> list[Any]:
    """Return what those got that were given tokens; the others were refused, and not because something broke."""
    assert len(answers) == MANY
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["error"]) for answer in refused} <= {(400, "invalid_grant")}
    return [answer.json() for answer in answers if answer.status_code == 200]


async def test_a_code_is_used_once_and_the_others_take_back_what_it_gave(pair: Pair) -> None:
    async with open_clients(pair) as clients:
        opened = await log_in(clients)
        for _ in range(3):
            (winner,) = won(await clients.at_once(await redemption(opened)))
            for which in (0, 1):
                assert not await clients.is_active(winner["access_token"], which)
                assert not await clients.is_active(winner["refresh_token"], which)
            assert (await clients.refresh(winner["refresh_token"])).json()["error"] == "invalid_grant"


async def test_within_the_grace_all_get_tokens_and_one_successor_lives(pair: Pair) -> None:
    async with open_clients(pair) as clients:
        first = (await clients.token(await redemption(await log_in(clients)))).json()
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        winners = won(await clients.at_once(form))
        assert len({winner["refresh_token"] for winner in winners}) == MANY
        alive = [winner for winner in winners if await clients.is_active(winner["refresh_token"])]
        assert len(alive) == 1
        opened = [winner for winner in winners if await clients.is_active(winner["access_token"], which=1)]
        assert opened == alive
        assert (await clients.refresh(alive[0]["refresh_token"])).status_code == 200


async def test_without_grace_one_is_rotated_and_the_others_end_the_family(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    with ExitStack() as stack:
        dsn = stack.enter_context(database(postgres)) if engine else ""
        pair = stack.enter_context(open_pair(tmp_path, dsn, ORDERMGMT_STS_REFRESH_TOKEN_GRACE="0"))
        async with open_clients(pair) as clients:
            first = (await clients.token(await redemption(await log_in(clients)))).json()
            form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
            (winner,) = won(await clients.at_once(form))
            for which in (0, 1):
                assert not await clients.is_active(winner["access_token"], which)
                assert not await clients.is_active(first["access_token"], which)
            assert (await clients.refresh(winner["refresh_token"])).json()["error"] == "invalid_grant"


async def test_client_credentials_and_exchanges_all_succeed_with_tokens_of_their_own(pair: Pair) -> None:
    async with open_clients(pair) as clients:
        opaque = [body["access_token"] for body in won(await clients.at_once({"grant_type": "client_credentials"}))]
        assert len(set(opaque)) == MANY
        assert [await clients.is_active(token, which=1) for token in opaque[:4]] == [True] * 4
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": "gateway",
        "subject_token": opaque[0],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "audience": "order",
    }
    async with open_clients(pair, "sts_mtls", "gateway") as clients:
        exchanged = won(await clients.at_once(exchange, secret=False))
    claims = [claims_of(body["access_token"]) for body in exchanged]
    assert len({claim["jti"] for claim in claims}) == MANY
    assert {(claim["sub"], claim["aud"], claim["scope"]) for claim in claims} == {("client:shop", "order", "add_order")}


def claims_of(token: str) -> Any:
    text = token.split(".")[1]
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


async def test_a_consent_is_given_once(pair: Pair) -> None:
    """The same form, sent fifty times: one goes on to the client with a code, and no code but that one exists."""
    async with open_clients(pair) as clients:
        opened = await log_in(clients)
        consent = await opened.get(f"/oauth2/authorize?{urlencode(REQUEST | {'prompt': 'consent'})}")
        headers = dict([*browser.FROM_HERE, ("cookie", "; ".join(map("=".join, opened.cookies.items())))])
        form = consent.page.fields | {"decision": "allow"}
        codes: list[str] = []
        others: list[int] = []

        async def send(number: int) -> None:
            client, location = clients.both[number % 2], ""
            answer = await client.post(consent.page.action, data=form, headers=headers)
            for _ in range(3):
                location = answer.headers.get("location", "")
                if not location or location.startswith(CALLBACK):
                    break
                target = location.removeprefix(ISSUER)
                answer = await client.get(target, headers={"cookie": headers["cookie"]})
            if location.startswith(CALLBACK):
                codes.append(code_of(location))
            else:
                others.append(answer.status_code)

        async with trio.open_nursery() as nursery:
            for number in range(MANY):
                nursery.start_soon(send, number)
        assert (len(codes), len(others)) == (1, MANY - 1)
        assert {status // 100 for status in others} == {4}
