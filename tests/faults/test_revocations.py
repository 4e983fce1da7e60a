"""From the answer of /oauth2/revoke to the last use of what came of the token, while the network misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trio

from ordermgmt.security.revocation_stream import LAST_RETRY, SILENCE
from ordermgmt.sts.main import open_accounts
from ordermgmt.sts.revocations import POLL
from ordermgmt.testing import faults
from ordermgmt.testing.harness import RunningSystem, running_system
from ordermgmt.testing.memory import MemoryNetwork
from ordermgmt.testing.memory_stream import Way
from tests.contract.login_setup import CLIENT, Portal
from tests.faults.bomb import arm
from tests.faults.revocation_setup import FORM, End, exchange, last_uses, revoke, status

T_STREAM, T_CUT = 2.0, 60.0
LOST = "revocations-not-followed"


@contextmanager
def cut(system: RunningSystem, network: MemoryNetwork) -> Iterator[None]:
    """Cut the mTLS listener of the token service off."""
    address = system.address("sts", "mtls_listen")
    with faults.refuse(network, address):
        faults.cut(network, address)
        yield


async def uses_of(system: RunningSystem, token: str) -> dict[str, str]:
    return {"gateway": token, "order": await exchange(system, token)}


async def test_with_the_stream_a_revoked_token_is_refused_within_two_seconds(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    worst: list[float] = []
    async with running_system(tmp_path) as system:
        for _ in range(3):
            token = await system.token("alice-app")
            found = await last_uses(system, await uses_of(system, token), partial(revoke, system, token), 4)
            worst.append(max(found.values()))
            assert max(found.values()) <= POLL + 0.1 < T_STREAM
    with capsys.disabled():
        print(f"\nlast use after the answer of /oauth2/revoke, virtual time, stream up: {max(worst):.2f} s")  # noqa: T201


@pytest.mark.parametrize("how", ["logout", "disable", "reset", "refresh token", "client", "everything"])
async def test_so_is_what_came_of_a_login(how: str, tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    """Commands open the database for themselves, as another process does."""
    async with (
        running_system(tmp_path) as system,
        open_accounts(system.location("sts"), system.runtime) as accounts,
    ):
        await accounts.add_client(CLIENT)
        portal = Portal(system)
        browser = portal.browser()
        tokens = await portal.tokens(browser)
        bobs = (await portal.tokens(portal.browser(), "bob"))["access_token"]

        async def log_out() -> None:
            await browser.submit(await browser.get("/logout"))

        async def revoke_refresh_token() -> None:
            form = urlencode({"client_id": CLIENT.id, "token": tokens["refresh_token"]}).encode()
            client = await system.client("sts")
            assert (await client.request("POST", "/oauth2/revoke", headers=[FORM], content=form)).status == 200

        ends: dict[str, End] = {
            "logout": log_out,
            "disable": lambda: accounts.disable_user("alice"),
            "reset": lambda: accounts.reset_user("alice", "quite another one"),
            "refresh token": revoke_refresh_token,
            "client": lambda: accounts.disable_client(CLIENT.id),
            "everything": accounts.revoke_all,
        }
        token = tokens["access_token"]
        found = await last_uses(system, await uses_of(system, token), ends[how], 3)
        assert max(found.values()) <= T_STREAM
        assert await status(system, "gateway", bobs) == (401 if how in {"client", "everything"} else 200)
        if how == "everything":
            again = (await portal.tokens(portal.browser()))["access_token"]
            assert await status(system, "gateway", again) == 200


@pytest.mark.slow
async def test_with_the_stream_cut_it_is_refused_within_a_minute_and_nobody_else_is(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    network = MemoryNetwork()
    async with running_system(tmp_path, network=network) as system:
        token, other = await system.token("alice-app"), await system.token("bob-app")
        uses = await uses_of(system, token)
        with ExitStack() as faulty:

            async def cut_and_revoke() -> None:
                faulty.enter_context(cut(system, network))
                await revoke(system, token)

            found = await last_uses(system, uses, cut_and_revoke, 70)
            fresh = await system.order_token("bob-app")
            await trio.sleep(50)  # the stream has been away for long
            assert await status(system, "order", fresh) == 200
        await trio.sleep(LAST_RETRY + 0.1)
        assert await status(system, "gateway", other) == 200
        token = await system.token("alice-app")
        again = await last_uses(system, await uses_of(system, token), partial(revoke, system, token), 4)
    assert 30 < max(found.values()) <= T_CUT
    assert max(again.values()) <= T_STREAM
    with capsys.disabled():
        print(f"\nthe same, stream cut: {max(found.values()):.2f} s")  # noqa: T201


async def test_what_is_revoked_while_the_stream_is_away_is_told_when_it_is_back(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    network = MemoryNetwork()
    async with running_system(tmp_path, network=network) as system:
        token, other = await system.token("alice-app"), await system.token("alice-app")
        uses = await uses_of(system, token)

        async def revoke_behind_the_cut() -> None:
            with cut(system, network):
                for each in (other, token):
                    await revoke(system, each)
                await trio.sleep(5)

        found = await last_uses(system, uses, revoke_behind_the_cut, 10)
        assert max(found.values()) <= LAST_RETRY + 0.1


async def test_a_stream_that_falls_silent_is_given_up_for_another_one(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is sent on the connections that there are never arrives; new ones are well."""
    network = MemoryNetwork()
    async with running_system(tmp_path, network=network) as system:
        token = await system.token("alice-app")
        uses = await uses_of(system, token)
        address = system.address("sts", "mtls_listen")
        old = dict(network.road(address).streams)

        async def fall_silent() -> None:
            for number, stream in old.items():
                if number % 2:  # the client's end
                    stream._incoming.way = Way(stalled=True)
            await revoke(system, token)

        found = await last_uses(system, {"order": uses["order"]}, fall_silent, 12)
        assert max(found.values()) <= SILENCE + T_STREAM
        assert min(found.values()) > T_STREAM
    assert LOST in capsys.readouterr().err


async def test_the_token_service_may_crash_and_nothing_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm("sts", monkeypatch)
    async with (
        running_system(tmp_path) as system,
        open_accounts(system.location("sts"), system.runtime) as accounts,
    ):
        token = await system.token("alice-app")
        uses = await uses_of(system, token)

        async def crash_and_disable() -> None:
            bomb.goes_off.set()
            await trio.testing.wait_all_tasks_blocked()
            await accounts.disable_client("alice-app")

        found = await last_uses(system, uses, crash_and_disable, 8)
        assert bomb.starts == 2
        assert found["order"] <= LAST_RETRY + 1


async def test_a_restart_of_the_order_service_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    bomb = arm("order", monkeypatch)
    async with running_system(tmp_path) as system:
        token = await system.token("alice-app")
        jwt = await exchange(system, token)
        await revoke(system, token)
        await trio.sleep(T_STREAM)
        bomb.goes_off.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await status(system, "order", jwt) == 401
        assert bomb.starts == 2


async def test_a_token_that_is_being_exchanged_is_refused_as_soon(
    tmp_path: Path, autojump_clock: trio.abc.Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exchange is decided before the revocation, and its answer comes a while after it."""
    network = MemoryNetwork()
    statuses: list[tuple[int, float]] = []
    async with running_system(tmp_path, network=network) as system:
        token = await system.token("alice-app")
        address = system.address("sts", "mtls_listen")
        # Over a connection that is there: a new one would be so slow that the exchange came after the revocation.
        assert await status(system, "gateway", await system.token("bob-app")) == 200
        started_at = answered_at = trio.current_time()

        async def use() -> None:
            statuses.append((await status(system, "gateway", token), trio.current_time()))

        async with trio.open_nursery() as nursery:
            with faults.delay(network, address, "answers", 1.0):
                nursery.start_soon(use)
                await trio.sleep(0.5)
                started_at = trio.current_time()
                await revoke(system, token)
                answered_at = trio.current_time()
                await trio.sleep(1)
            for _ in range(40):
                await use()
                await trio.sleep(0.1)
    accepted = [at for code, at in statuses if code == 200]
    assert accepted, "never accepted"
    assert max(accepted) > started_at, "no use while it was revoked"
    last = max(accepted) - answered_at
    assert last <= T_STREAM
    assert statuses[-1][0] == 401
    with capsys.disabled():
        print(f"\nthe same, an exchange in flight: {last:.2f} s")  # noqa: T201
