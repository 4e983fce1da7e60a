"""Access tokens of sessions end long before the sessions: how they are replaced, and what comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from ordermgmt.config import Config, StsConfig
from ordermgmt.errors import Unavailable
from ordermgmt.gateway import session_store, tokens
from ordermgmt.gateway.provider import ConnectedProvider, TokenAnswer
from ordermgmt.net.outbound import open_client
from ordermgmt.security.tls import PublicTls
from ordermgmt.sts.main import open_accounts
from ordermgmt.testing.clocks import START
from ordermgmt.testing.harness import RunningSystem, running_system
from tests.contract.shop_setup import SESSION, Surfer, surfer

LIFETIME = 120
"""Seconds of an access token in these tests; it is replaced 30 s before."""
IDLE = 8 * 3600
Refresh = Callable[[ConnectedProvider, str], Awaitable[TokenAnswer]]


def config(grace: int = 10) -> Config:
    gateway = msgspec.structs.replace(Config().gateway, session_idle_lifetime=IDLE)
    return Config(gateway=gateway, sts=StsConfig(access_token_lifetime=LIFETIME, refresh_token_grace=grace))


@pytest.fixture
def refreshes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The refresh tokens that were sent to the STS."""
    sent: list[str] = []
    refresh = ConnectedProvider.refresh

    async def counted(self: ConnectedProvider, refresh_token: str) -> TokenAnswer:
        sent.append(refresh_token)
        await trio.sleep(0.5)
        return await refresh(self, refresh_token)

    monkeypatch.setattr(ConnectedProvider, "refresh", counted)
    return sent


@asynccontextmanager
async def second_gateway(first: RunningSystem, folder: Path) -> AsyncIterator[Surfer]:
    """Run another gateway over the same database, and give a browser in front of it."""
    base = first.suite.config
    gateway = msgspec.structs.replace(
        base.gateway, listen="127.0.0.1:8444", public_url=first.suite.endpoints.gateway_url
    )
    other = msgspec.structs.replace(
        base, gateway=gateway, admin=msgspec.structs.replace(base.admin, listen="127.0.0.1:9401")
    )
    network, late = first.runtime.network, {"gateway": first.runtime.clock.now() - START}
    async with running_system(
        folder, config=other, services=["gateway"], network=network, seed=1, skews=late
    ) as second:
        tls = PublicTls(second.certs / "ca.pem", clock=second.runtime.clock)
        address = second.address("gateway")._replace(host="localhost")
        async with open_client(network, [address], tls=tls) as http:
            yield Surfer(first.suite.endpoints.gateway_url, first.suite.endpoints.issuer, first.data, http, http)


async def ask_often(browsers: list[Surfer], times: int = 20) -> list[int]:
    statuses: list[int] = []

    async def ask(browser: Surfer) -> None:
        statuses.append((await browser.get("/api/order")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(times):
            for browser in browsers:
                nursery.start_soon(ask, browser)
    return statuses


async def test_a_session_outlives_its_access_tokens(
    tmp_path: Path, refreshes: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        for round_number in range(1, 6):
            await trio.sleep(LIFETIME)
            assert await ask_often([browser]) == [200] * 20
            assert len(refreshes) == round_number
        assert len(set(refreshes)) == 5


@pytest.mark.slow
async def test_two_gateways_refresh_once(tmp_path: Path, refreshes: list[str], autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path, config=config()) as system, second_gateway(system, tmp_path) as other:
        browser = await surfer(system)
        await browser.sign_in("alice")
        other.cookies[SESSION] = browser.cookies[SESSION]
        for round_number in range(1, 6):
            await trio.sleep(LIFETIME)
            assert await ask_often([browser, other]) == [200] * 40
            assert len(refreshes) == round_number
        assert (await other.ask("POST", "/session/logout")).status == 200
        assert (await browser.get("/api/order")).status == 401


async def test_who_holds_the_lease_may_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """The STS has rotated the refresh token already, and nobody has its successor."""
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await trio.sleep(LIFETIME)
        refresh, rotated = ConnectedProvider.refresh, trio.Event()

        async def refresh_and_die(self: ConnectedProvider, refresh_token: str) -> TokenAnswer:
            await refresh(self, refresh_token)
            rotated.set()
            raise AssertionError(await trio.sleep_forever())

        async with trio.open_nursery() as nursery:

            async def die() -> None:
                async with second_gateway(system, tmp_path) as other:
                    other.cookies[SESSION] = browser.cookies[SESSION]
                    await other.get("/api/order")

            monkeypatch.setattr(ConnectedProvider, "refresh", refresh_and_die)
            nursery.start_soon(die)
            await rotated.wait()
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(ConnectedProvider, "refresh", refresh)
        began = trio.current_time()
        assert (await browser.get("/api/order")).status == 200
        assert 0 < trio.current_time() - began <= tokens.LEASE + tokens.POLL
        await trio.sleep(LIFETIME)
        assert (await browser.get("/api/order")).status == 200


async def test_an_answer_that_is_lost_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await trio.sleep(LIFETIME)
        refresh = ConnectedProvider.refresh

        async def lose(self: ConnectedProvider, refresh_token: str) -> TokenAnswer:
            await refresh(self, refresh_token)
            raise Unavailable("provider-unreachable", "the answer was lost", retry_after=1)

        with monkeypatch.context() as faulty:
            faulty.setattr(ConnectedProvider, "refresh", lose)
            assert (await browser.get("/api/order")).status == 503
            assert (await browser.session())["signed_in"]
        assert (await browser.get("/api/order")).status == 200


async def test_new_tokens_are_kept_although_the_database_is_away_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refreshes: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config(grace=0)) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await trio.sleep(LIFETIME)
        replace_tokens, until = session_store.replace_tokens, trio.current_time() + 3

        def replace_later(*arguments: object) -> bool:
            if trio.current_time() < until:
                raise Unavailable("storage-unavailable")
            return replace_tokens(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(session_store, "replace_tokens", replace_later)
        assert await ask_often([browser]) == [200] * 20
        assert len(refreshes) == 1


async def test_who_goes_away_leaves_no_token_half_used(
    tmp_path: Path, refreshes: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config(grace=0)) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await trio.sleep(LIFETIME)
        with trio.move_on_after(0.2):
            await browser.get("/api/order")
        assert len(refreshes) == 1
        await trio.sleep(1)
        assert (await browser.get("/api/order")).status == 200
        assert len(refreshes) == 1


async def test_a_logout_at_the_sts_ends_the_session_here(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async with running_system(tmp_path, config=config()) as system:
        browser, other = await surfer(system), await surfer(system)
        await browser.sign_in("alice")
        await other.sign_in("alice")
        answer = await browser.ask("POST", "/session/logout")
        location = msgspec.json.decode(answer.content)["location"]
        browser.cookies[SESSION] = other.cookies[SESSION]
        await browser.follow(location)
        assert (await other.get("/api/order")).status == 200  # another session at the STS
        forgotten = await surfer(system)
        await forgotten.sign_in("alice")
        copy = dict(forgotten.cookies)
        again = await forgotten.ask("POST", "/session/logout")
        assert copy[SESSION] not in forgotten.cookies.values()
        assert (await forgotten.follow(msgspec.json.decode(again.content)["location"])).status == 200


async def end_at_the_sts(system: RunningSystem) -> Surfer:
    """Sign in two browsers in one session of the STS, log one out there, and return the other."""
    one, two = await surfer(system), await surfer(system)
    await one.sign_in("alice")
    two.cookies = {name: value for name, value in one.cookies.items() if name.startswith("__Host-sts")}
    await two.sign_in("alice")
    location = msgspec.json.decode((await one.ask("POST", "/session/logout")).content)["location"]
    assert (await two.get("/api/order")).status == 200
    await one.follow(location)
    return two


async def test_a_session_ends_when_the_sts_says_that_it_is_revoked(
    tmp_path: Path, refreshes: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        left = await end_at_the_sts(system)
        await trio.sleep(2)
        assert await left.session() == {"signed_in": False}
        assert (await left.get("/api/order")).status == 401
        assert refreshes == []


@pytest.mark.usefixtures("deaf_gateway")
async def test_a_session_of_whose_end_nobody_told_ends_when_its_tokens_are_refused(
    tmp_path: Path, refreshes: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        left = await end_at_the_sts(system)
        await trio.sleep(61)  # as long as a token that was exchanged before
        assert (await left.get("/api/order")).status == 401
        assert await left.session() == {"signed_in": False}
        assert len(refreshes) == 1  # asked once whether it goes on


async def test_scopes_that_are_taken_away_are_gone_with_the_next_tokens(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("admin")
        assert "operate" in (await browser.session())["scopes"]
        async with open_accounts(system.location("sts"), system.runtime) as accounts:
            await accounts._database.write(
                lambda transaction: transaction.execute("UPDATE users SET scopes = 'add_order' WHERE name = 'admin'")
            )
        await trio.sleep(LIFETIME)
        assert (await browser.get("/api/order")).status == 200
        assert (await browser.session())["scopes"] == ["add_order"]


async def test_without_the_sts_the_session_waits(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    network_down = trio.Event()
    async with running_system(tmp_path, config=config()) as system:
        browser = await surfer(system)
        await browser.sign_in("alice")
        await trio.sleep(LIFETIME)
        send = ConnectedProvider._send

        async def unreachable(self: ConnectedProvider, *_: object) -> None:
            network_down.set()
            raise Unavailable("provider-unreachable", retry_after=1)

        with pytest.MonkeyPatch.context() as faulty:
            faulty.setattr(ConnectedProvider, "_send", unreachable)
            assert (await browser.get("/api/order")).status == 503
            assert (await browser.get("/api/inventory")).status == 200
            answer = await browser.ask("POST", "/session/logout")
        assert network_down.is_set()
        assert ConnectedProvider._send is send
        assert answer.status == 200  # the session here is gone all the same
        assert await browser.session() == {"signed_in": False}
